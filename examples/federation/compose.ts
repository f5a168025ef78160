import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';

/**
 * Fetches the SDL of each subgraph and composes the supergraph. Throws if the subgraphs cannot be
 * composed.
 */
export async function compose(
  urls: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const services = await Promise.all(
    Object.entries(urls).map(async ([name, url]) => ({
      name,
      url,
      typeDefs: parse(await fetchSdl(url, headers)),
    })),
  );
  const { supergraphSdl, errors } = composeServices(services);
  if (supergraphSdl === undefined) throw new AggregateError(errors ?? [], 'No supergraph.');
  return supergraphSdl;
}

/** The SDL of a subgraph for composition. */
export async function fetchSdl(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query: '{ _service { sdl } }' }),
  });
  const { data } = (await response.json()) as { data: { _service: { sdl: string } } };
  return data._service.sdl;
}
