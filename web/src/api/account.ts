import { answer, client } from './client';

export const register = (email: string, password: string) =>
  answer(client.POST('/api/v1/accounts', { body: { email, password } }));

export const signIn = (email: string, password: string) =>
  answer(client.POST('/api/v1/session', { body: { email, password } }));

export const currentSession = () => answer(client.GET('/api/v1/session'));

export const signOut = () => answer(client.DELETE('/api/v1/session'));

export const setSessionMail = (session_mail: boolean) =>
  answer(client.PATCH('/api/v1/account', { body: { session_mail } }));

export const eraseAccount = (password: string) => answer(client.DELETE('/api/v1/account', { body: { password } }));

export const unsubscribe = (token: string) =>
  answer(client.POST('/api/v1/unsubscribe', { params: { query: { token } } }));
