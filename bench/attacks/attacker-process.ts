import { type Attack, createAttacks, harmless, releaseHeld } from './attacks.ts';

// The process that bench/attacks.ts forks to attack from; it is told to start, and to stop.
const url = new URL(process.argv[2] ?? '');
const attacks = createAttacks(process.argv[3] ?? '');
// Steps that may be under way. An attacker's own machine has its limits too.
const MAX_UNDER_WAY = 512;
const TICK_MS = 20;
let stop = () => {};

process.on('message', ({ start, rate }: { start: string | null; rate: number }) => {
  stop();
  const attack = [...attacks, harmless].find(({ name }) => name === start);
  if (attack) stop = run(attack, rate);
});

function run(attack: Attack, rate: number): () => void {
  let done = 0;
  let underWay = 0;
  const startedAt = performance.now();
  const timer = setInterval(() => {
    const due = ((performance.now() - startedAt) / 1000) * rate;
    for (; done < due && underWay < MAX_UNDER_WAY; done++) {
      underWay++;
      void attack.step(url, serial++).finally(() => underWay--);
    }
  }, TICK_MS);
  return () => {
    clearInterval(timer);
    releaseHeld();
    process.send?.(done);
    stop = () => {};
  };
}

let serial = 0;
process.send?.('ready');
