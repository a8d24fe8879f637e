// oidc-provider, which nobody here wrote. Argument: a JSON object; says "ready" once it answers.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.CLIENTS + '/');
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const { port, id, secret, callback, home } = JSON.parse(process.argv[2]);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: id,
      client_secret: secret,
      redirect_uris: [callback],
      post_logout_redirect_uris: [home],
    },
  ],
  pkce: { required: () => true },
  claims: { openid: ['sub', 'groups'], profile: ['name', 'preferred_username'], email: ['email'] },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  cookies: { keys: ['a key that is only for tests'] },
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({
      sub,
      name: 'Jane Doe',
      preferred_username: 'jane',
      email: 'jane@example.com',
      groups: ['api-team'],
    }),
  }),
});
provider.listen(port, '127.0.0.1', () => console.log('ready'));
