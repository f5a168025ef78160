/**
 * The versions of Apollo Federation for which the schema can be printed. 2.9 adds `@cost` and
 * `@listSize`.
 */
export const FEDERATION_VERSIONS = ['2.5', '2.9'] as const;
export type FederationVersion = (typeof FEDERATION_VERSIONS)[number];

/** The arguments of the `@link` that brings the directives of this version. */
export function federationLink(version: FederationVersion) {
  const costs = version === '2.9' ? ['@cost', '@listSize'] : [];
  return {
    url: `https://specs.apollo.dev/federation/v${version}`,
    import: ['@key', '@shareable', '@tag', ...costs],
  };
}
