/** The path below the prefix, and the query. A target outside of the prefix has no path. */
export function toLocalTarget(target = '/', prefix: string): string {
  const local = toOriginForm(target);
  if (prefix === '') return local;
  return local.startsWith(`${prefix}/`) ? local.slice(prefix.length) : '';
}

/** A prefix as it stands in paths: with a slash before it and none after it. The root is empty. */
export function toPathPrefix(text: string): string {
  const path = text.replaceAll(/^\/+|\/+$/g, '');
  return path === '' ? '' : new URL(path, 'http://localhost/').pathname;
}

/**
 * The path and query of a request target. A client may send an absolute URL (RFC 9112, section
 * 3.2.2).
 */
function toOriginForm(target: string): string {
  if (target.startsWith('/') || !URL.canParse(target)) return target;
  const { pathname, search } = new URL(target);
  return pathname + search;
}
