// A certified OpenID provider as a process: `oidc-provider`, unchanged, over https on a free port.
//
//   node tests/idp/provider.mjs
//
// Read from the environment:
//   MI_IDP_MODULES    folder whose node_modules holds the library; target/tools/idp, where `tests/run` installs it
//   MI_IDP_CERT       PEM of its certificate, good for localhost
//   MI_IDP_KEY        PEM of that certificate's key
//   MI_IDP_CA         PEM of the authority whose certificates its clients may show
//   MI_IDP_AUDIENCE   the resource that its access tokens are for
//
// The first line it writes is its issuer; from then on a line on its input is an order and is answered with one line:
//   rotate            signs with a new key, and publishes the old ones beside it; its id
//   rotate alone      the same, and the old keys are gone
//   asked PATH        how many requests for PATH have come
//   sign MESSAGE      its signature (ES256) over whatever that is, by the key of its tokens
// It ends when its input does.
//
// Clients, all by client_credentials and with the secret `secret-of-ID` in the form. What their tokens are:
//   jwt               signed (RFC 9068)
//   opaque            of no form; client `resource` may introspect them, by HTTP Basic
//   opaque-mtls       of no form, bound to the certificate that was shown
//   mtls              signed, bound to the certificate that was shown (RFC 8705)
//   dpop              signed, bound to the key of the proof (RFC 9449), which must carry the nonce that it asks for
//   opaque-dpop       of no form, bound the same way
//   assertion         signed; it shows who it is by private_key_jwt, with the key in MI_IDP_CLIENT_JWKS
import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

const env = process.env;
const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.resolve(env.MI_IDP_MODULES ?? path.join(here, '../../target/tools/idp'));
const { default: Provider } = await import(pathToFileURL(path.join(modules, 'node_modules/oidc-provider/lib/index.js')));

const needed = (name) => env[name] ?? fail(`${name} is not set; the top of this file says what it is`);
const fail = (why) => { console.error(why); process.exit(2); };
const audience = needed('MI_IDP_AUDIENCE');
console.info = console.error; // the library's notes; this one's output is for answers
const scopes = ['items:read', 'items:write'];

function signingKey() {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'ES256' };
}

const machine = (id, more = {}) => ({
    client_id: id,
    client_secret: `secret-of-${id}`,
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    id_token_signed_response_alg: 'ES256',
    ...more,
});

const clients = [
    machine('jwt'),
    machine('opaque'),
    machine('opaque-mtls', { tls_client_certificate_bound_access_tokens: true }),
    machine('resource', { grant_types: [], token_endpoint_auth_method: 'client_secret_basic' }),
    machine('mtls', { tls_client_certificate_bound_access_tokens: true }),
    machine('dpop', { dpop_bound_access_tokens: true }),
    machine('opaque-dpop', { dpop_bound_access_tokens: true }),
];
if (env.MI_IDP_CLIENT_JWKS) {
    const { client_secret: _, ...rest } = machine('assertion');
    clients.push({ ...rest, token_endpoint_auth_method: 'private_key_jwt', jwks: JSON.parse(env.MI_IDP_CLIENT_JWKS) });
}

const resource = (client) => ({
    scope: scopes.join(' '),
    audience,
    accessTokenTTL: 600,
    accessTokenFormat: client.clientId.startsWith('opaque') ? 'opaque' : 'jwt',
    jwt: { sign: { alg: 'ES256' } },
});

const nonceSecret = randomBytes(32);

const settings = (keys) => ({
    jwks: { keys },
    clients,
    scopes,
    clientAuthMethods: ['client_secret_post', 'client_secret_basic', 'private_key_jwt', 'none'],
    enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'RS256'] },
    extraTokenClaims: () => ({ Tenant: 'DEMO_TST', plants: ['se'] }),
    features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === 'resource' },
        revocation: { enabled: true },
        dPoP: { enabled: true, nonceSecret, requireNonce: () => true },
        mTLS: {
            enabled: true,
            certificateBoundAccessTokens: true,
            getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        },
        resourceIndicators: {
            enabled: true,
            defaultResource: () => audience,
            useGrantedResource: () => true,
            getResourceServerInfo: (ctx, indicator, client) => resource(client),
        },
    },
});

let keys = [signingKey()];
let answer;
const asked = new Map();
const tls = { cert: readFileSync(needed('MI_IDP_CERT')), key: readFileSync(needed('MI_IDP_KEY')) };
const ca = env.MI_IDP_CA ? readFileSync(env.MI_IDP_CA) : undefined;
const server = https.createServer({ ...tls, ca, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    const where = request.url.split('?')[0];
    asked.set(where, (asked.get(where) ?? 0) + 1);
    answer(request, response);
});
await new Promise((up) => server.listen(0, '127.0.0.1', up));
const issuer = `https://localhost:${server.address().port}`;

// A provider's keys are settled when it is made; what it has given out is kept apart from it.
function serve() {
    const provider = new Provider(issuer, settings(keys));
    provider.on('server_error', (ctx, error) => console.error(error));
    answer = provider.callback();
}
serve();
console.log(issuer);

for await (const line of readline.createInterface({ input: process.stdin })) {
    const [order, word] = line.split(' ');
    if (order === 'rotate') {
        keys = [signingKey(), ...(word === 'alone' ? [] : keys)];
        serve();
        console.log(keys[0].kid);
    } else if (order === 'asked') {
        console.log(asked.get(word) ?? 0);
    } else if (order === 'sign') {
        const key = createPrivateKey({ key: keys[0], format: 'jwk' });
        console.log(sign('sha256', Buffer.from(word), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url'));
    } else {
        fail(`no order ${line}`);
    }
}
process.exit(0);
