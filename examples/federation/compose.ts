import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';

/** Asks each subgraph for its SDL, and makes one supergraph of them. Throws for what cannot be composed. */
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

/** The SDL that a subgraph has for composition. */
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
