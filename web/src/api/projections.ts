import { answer, client } from './client';

export const projections = () => answer(client.GET('/api/v1/admin/projections'));

const named = (name: string) => ({ params: { path: { name } } });

export const resume = (name: string) => answer(client.POST('/api/v1/admin/projections/{name}/resume', named(name)));

export const replay = (name: string) => answer(client.POST('/api/v1/admin/projections/{name}/replay', named(name)));

export const rebuild = (name: string) => answer(client.POST('/api/v1/admin/projections/{name}/rebuild', named(name)));

export const cancelRebuild = (name: string) =>
  answer(client.POST('/api/v1/admin/projections/{name}/cancel', named(name)));

/** Lets readers see the ready build; one that differs only where that is accepted. */
export const switchTo = (name: string, accept_differences: boolean) =>
  answer(client.POST('/api/v1/admin/projections/{name}/switch', { ...named(name), body: { accept_differences } }));

export const switchBack = (name: string) =>
  answer(client.POST('/api/v1/admin/projections/{name}/switch-back', named(name)));

export const dropBuild = (name: string) => answer(client.POST('/api/v1/admin/projections/{name}/drop', named(name)));
