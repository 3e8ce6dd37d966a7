// The certified `oidc-provider` with its own development forms: whoever signs in as "name" gets the roles listed for that name.
// Arguments: port, redirect address, JSON {name: [role, …]}. Prints "ready" when it listens.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [port, redirect, people] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])];
const issuer = `http://127.0.0.1:${port}`;
const client = (id, more) => ({ client_id: id, redirect_uris: [redirect], grant_types: ['authorization_code'], response_types: ['code'], ...more });

const provider = new Provider(issuer, {
  clients: [
    client('affidavit', { client_secret: 'a secret between the two', token_endpoint_auth_method: 'client_secret_basic' }),
    client('public', { token_endpoint_auth_method: 'none' }),
  ],
  claims: { openid: ['sub', 'name', 'groups'] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  cookies: { keys: ['of the tests'] },
  findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, name: `${sub} of the tests`, groups: people[sub] ?? [] }) }),
});

createServer(provider.callback()).listen(Number(port), '127.0.0.1', () => console.log('ready'));
