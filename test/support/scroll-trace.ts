import type { CDPSession, Page } from 'playwright-core';

/** What the browser's trace says of one scroll. */
export interface ScrollTrace {
  /** Milliseconds at which the browser drew a frame, in order. */
  frames: number[];
  framesPerSecond: number;
  /** How often the page was laid out. */
  layouts: number;
}

/**
 * Scrolls what is under the middle of the page down by `px`, at `pxPerSecond`, and reads the
 * browser's trace.
 */
export async function traceScroll(
  page: Page,
  px: number,
  pxPerSecond: number,
): Promise<ScrollTrace> {
  const browser = page.context().browser();
  if (browser === null) throw new Error('The page has no browser that could trace it.');
  const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
  const devtools = await page.context().newCDPSession(page);
  await browser.startTracing(page, {
    categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline.frame'],
  });
  await devtools.send('Input.synthesizeScrollGesture', {
    x: width / 2,
    y: height / 2,
    yDistance: -px,
    speed: pxPerSecond,
    gestureSourceType: 'mouse',
  });
  const { traceEvents } = JSON.parse(String(await browser.stopTracing())) as {
    traceEvents: { name: string; ts: number }[];
  };
  await devtools.detach();
  const frames = traceEvents
    .filter(({ name }) => name === 'DrawFrame')
    .map(({ ts }) => ts / 1_000)
    .sort((a, b) => a - b);
  const seconds = ((frames.at(-1) ?? 0) - (frames[0] ?? 0)) / 1_000;
  return {
    frames,
    framesPerSecond: frames.length / seconds,
    layouts: traceEvents.filter(({ name }) => name === 'Layout').length,
  };
}

/** Whether some part of the page is painted again for each frame of a scroll, instead of moved. */
export async function repaintsOnScroll(page: Page): Promise<boolean> {
  const devtools: CDPSession = await page.context().newCDPSession(page);
  const layers = new Promise<readonly { scrollRects?: { type: string }[] }[]>(resolve => {
    devtools.on('LayerTree.layerTreeDidChange', change => {
      if (change.layers !== undefined) resolve(change.layers);
    });
  });
  await devtools.send('LayerTree.enable');
  const rects = (await layers).flatMap(({ scrollRects }) => scrollRects ?? []);
  await devtools.detach();
  return rects.some(({ type }) => type === 'RepaintsOnScroll');
}

/** A page whose scroll shows how many frames this machine draws at all now. */
export const openEmptyBox = (page: Page) =>
  page.setContent('<div style="height: 220000px; background: linear-gradient(red, blue)"></div>');
