// Infor's own client library, unchanged, as a v1 client of a running gateway. One line a check; exit code 1 if any fails.
//
//   node tests/sdk/conformance.mjs
//
// Read from the environment:
//   MI_SDK_BASE           base of the M3 paths: https://localhost:8443/DEMO_TST/M3 (the library wants https)
//   MI_SDK_TOKEN_URL      where a token is given: https://localhost:8443/oauth2/token
//   MI_SDK_CLIENT_ID      who asks, by client_credentials and HTTP Basic
//   MI_SDK_CLIENT_SECRET
//   MI_SDK_CA             PEM file of the authority that signed the gateway's certificate
//   MI_SDK_CASES          JSON text that replaces parts of CASES below: {"read":{"record":{"CUNO":"10001"}}}
//   MI_SDK_MODULES        folder whose node_modules holds the library; target/tools/sdk, where `tests/run` installs it
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const env = process.env;
const here = path.dirname(fileURLToPath(import.meta.url));
const modules = path.resolve(env.MI_SDK_MODULES ?? path.join(here, '../../target/tools/sdk'));
const require = createRequire(path.join(modules, 'package.json'));
const load = async (name, file = null) =>
    import(pathToFileURL(file ? path.join(modules, 'node_modules', name, file) : require.resolve(name)));

globalThis.window = { console }; // the library's logger looks for it here

const { IonApiServiceCore, Log, MIServiceCore } = await load('@infor-up/m3-odin', 'fesm2022/infor-up-m3-odin.mjs');
const { from, firstValueFrom } = await load('rxjs');
Log.level = Log.levelFatal; // the checks speak for themselves

const CASES = {
    read: { program: 'CRS610MI', transaction: 'GetBasicData', record: { CUNO: '10001' }, expect: { CUNO: '10001' } },
    list: { program: 'CRS610MI', transaction: 'LstByNumber', record: {}, maxReturnedRecords: 3, outputFields: ['CUNO', 'CUNM'] },
    empty: null, // a list without records, where the caller knows one
    write: {
        program: 'MMS200MI',
        transaction: 'AddItmBasic',
        record: { STAT: '20', ITNO: 'SDK-0001', ITDS: 'Bolt & nut; 5 % "new"', RESP: 'M3USER', UNMS: 'PCS', ITTY: '001', MABU: '1', PRVG: '01' },
    },
    readBack: { program: 'MMS200MI', transaction: 'GetItmBasic', record: { ITNO: 'SDK-0001' }, expect: { ITNO: 'SDK-0001', UNMS: 'PCS' } },
    nok: { program: 'CRS610MI', transaction: 'GetBasicData', record: { CUNO: 'NOBODY' }, field: 'CUNO' },
    typed: { program: 'CRS610MI', transaction: 'GetBasicData', record: { CUNO: '10001' }, numbers: ['CONO', 'CUTP'], dates: ['LMDT', 'RGDT'] },
    company: 100,
};
for (const [name, given] of Object.entries(JSON.parse(env.MI_SDK_CASES ?? '{}'))) {
    CASES[name] = given && typeof given === 'object' ? { ...CASES[name], ...given } : given;
}

const needed = (name) => env[name] ?? fail(`${name} is not set; the top of this file says what it is`);
const fail = (why) => { console.error(why); process.exit(2); };
const base = needed('MI_SDK_BASE');
const ca = env.MI_SDK_CA ? readFileSync(env.MI_SDK_CA) : undefined;

/** One HTTP call; the whole answer, whatever its status. */
function send({ method = 'GET', url, headers = {}, body = null }) {
    return new Promise((resolve, reject) => {
        const client = url.startsWith('https:') ? https : http;
        const request = client.request(url, { method, headers, ca, timeout: 30_000 }, (answer) => {
            const parts = [];
            answer.on('data', (part) => parts.push(part));
            answer.on('error', reject);
            answer.on('end', () => {
                const text = Buffer.concat(parts).toString('utf8');
                resolve({ status: answer.statusCode, ok: answer.statusCode >= 200 && answer.statusCode < 300, headers: answer.headers, text });
            });
        });
        request.on('timeout', () => request.destroy(new Error(`no answer from ${method} ${new URL(url).pathname} in 30 s`)));
        request.on('error', reject);
        request.end(body);
    });
}

async function newToken() {
    const basic = [needed('MI_SDK_CLIENT_ID'), needed('MI_SDK_CLIENT_SECRET')].map(encodeURIComponent).join(':');
    const answer = await send({
        method: 'POST',
        url: needed('MI_SDK_TOKEN_URL'),
        headers: {
            Authorization: `Basic ${Buffer.from(basic).toString('base64')}`,
            'Content-Type': 'application/x-www-form-urlencoded; charset=UTF-8',
        },
        body: 'grant_type=client_credentials',
    });
    if (!answer.ok) throw new Error(`no token: ${answer.status} ${answer.text}`);
    return JSON.parse(answer.text);
}

/** What the library calls its HTTP service. Anything but 2xx goes to the observable's error, as it asks. */
const service = (answer) => ({ execute: (request) => from(answer(request)) });
const asBody = (request, { status, ok, text }) => {
    const json = request.responseType === 'json' || (request.headers?.Accept ?? '').includes('json');
    const shaped = { status, ok, body: json && text.startsWith('{') ? JSON.parse(text) : text };
    if (!ok) throw shaped;
    return shaped;
};

let failed = 0;
async function check(promise, test) {
    try {
        await test();
        console.log(`ok    ${promise}`);
    } catch (error) {
        failed += 1;
        const why = error instanceof Error ? error.message : JSON.stringify(error);
        console.log(`FAIL  ${promise}: ${why.slice(0, 2000)}`);
    }
}
const demand = (held, why) => { if (!held) throw new Error(why); };
const same = (found, expected, what) => demand(found === expected, `${what} is ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
const holds = (item, expected = {}) => Object.entries(expected).forEach(([name, value]) => same(item?.[name], value, name));

const token = await newToken().catch((error) => fail(error.message));
const sent = [];
const withToken = service(async (request) => {
    sent.push(request);
    const headers = { ...request.headers, Authorization: `Bearer ${token.access_token}` };
    return asBody(request, await send({ ...request, headers }));
});
const mi = new MIServiceCore(withToken);
const call = ({ expect, field, numbers, dates, ...request }, more = {}) =>
    firstValueFrom(mi.execute({ baseUrl: base, company: CASES.company, ...request, ...more }));
const refusal = (request) => call(request).then(
    (answer) => { throw new Error(`was accepted: ${JSON.stringify(answer.items)}`); },
    (error) => error,
);

await check('a token has the four members that clients need', () => {
    for (const [name, type] of [['access_token', 'string'], ['token_type', 'string'], ['expires_in', 'number'], ['refresh_token', 'string']]) {
        same(typeof token[name], type, `the type of ${name}`);
    }
    same(token.token_type, 'Bearer', 'token_type');
});

await check('a record is read', async () => {
    const answer = await call(CASES.read);
    same(answer.items.length, 1, 'the number of records');
    holds(answer.item, CASES.read.expect);
});

await check('the request is the one that the library is known to send', () => {
    const url = sent.at(-1).url;
    demand(sent[0].url.endsWith('/m3api-rest/csrf'), `the first call is ${sent[0].url}`);
    demand(/;metadata=true;maxrecs=100;excludempty=false;cono=\d+\?.*_rid=\w{16}$/.test(url), url);
    same(sent.at(-1).headers.Accept, 'application/json', 'Accept');
});

await check('a list gives the columns asked for, and no more records than asked for', async () => {
    const { items } = await call(CASES.list);
    demand(items.length > 0 && items.length <= CASES.list.maxReturnedRecords, `${items.length} records`);
    for (const item of items) {
        const names = Object.keys(item).filter((name) => name !== 'metadata').sort();
        same(names.join(), [...CASES.list.outputFields].sort().join(), 'the columns');
        same(item.CUNO ?? 'given', (item.CUNO ?? 'given').trim(), 'the trimmed value');
    }
});

await check('an empty value is left out when the caller says so', async () => {
    const { item } = await call(CASES.read, { excludeEmptyValues: true });
    const blank = Object.entries(item).filter(([, value]) => value === '').map(([name]) => name);
    same(blank.join(), '', 'the empty fields that came');
    holds(item, CASES.read.expect);
});

if (CASES.empty) {
    await check('a list without records is an empty list', async () => same((await call(CASES.empty)).items.length, 0, 'the number of records'));
}

await check('a record is written, and read back as it was sent', async () => {
    const answer = await call(CASES.write);
    same(answer.hasError(), false, 'hasError');
    const { item } = await call(CASES.readBack);
    holds(item, CASES.readBack.expect);
});

await check('a second write of the same key is refused by M3, in words', async () => {
    const error = await refusal(CASES.write);
    demand(error.errorCode && error.errorMessage, `code ${error.errorCode}, message ${error.errorMessage}`);
});

await check('a NOK has code, field, type and message', async () => {
    const error = await refusal(CASES.nok);
    same(error.errorType, 'ServerReturnedNOK', 'errorType');
    demand(/^[A-Z0-9]{7}$/.test(error.errorCode ?? ''), `errorCode is ${JSON.stringify(error.errorCode)}`);
    if (CASES.nok.code) same(error.errorCode, CASES.nok.code, 'errorCode');
    same((error.errorField ?? '').trim(), CASES.nok.field, 'errorField');
    demand(error.errorMessage?.length > 0 && error.errorMessage === error.errorMessage.trim(), `errorMessage is ${JSON.stringify(error.errorMessage)}`);
});

await check('an unknown transaction is refused in the same shape', async () => {
    const error = await refusal({ ...CASES.read, transaction: 'GetNothingAtAl' });
    demand(error.errorType && error.errorMessage, `type ${error.errorType}, message ${error.errorMessage}`);
});

await check('typed output turns N into numbers and D into dates', async () => {
    const { item, metadata } = await call(CASES.typed, { typedOutput: true, includeMetadata: true });
    demand(metadata && Object.keys(metadata).length > 1, 'no metadata came');
    for (const name of CASES.typed.numbers) demand(Number.isFinite(item[name]), `${name} is ${JSON.stringify(item[name])}`);
    for (const name of CASES.typed.dates) {
        demand(item[name] instanceof Date && !Number.isNaN(item[name].getTime()), `${name} is ${JSON.stringify(item[name])}`);
        same(metadata[name].isDate(), true, `metadata of ${name} says date`);
    }
});

await check('a token that is refused is refreshed once, and the call is made again', async () => {
    const asked = [];
    const statuses = [];
    const ion = new IonApiServiceCore(service(async (request) => {
        if (request.url.startsWith('/grid/rest/security/sessions/oauth?')) {
            // In M3's own pages the grid gives the token; here it is given once a bad one, then a good one.
            asked.push(request.url.includes('forceRefresh=true'));
            return { status: 200, ok: true, body: asked.length === 1 ? 'not.a.token' : (await newToken()).access_token };
        }
        const answer = await send(request);
        statuses.push(answer.status);
        if (answer.status === 401) {
            demand(/^Bearer\b.*error="?invalid_token/i.test(answer.headers['www-authenticate'] ?? ''), `WWW-Authenticate is ${answer.headers['www-authenticate']}`);
        }
        return asBody(request, answer);
    }), null);
    ion.setUrl(base);
    const { program, transaction, record } = CASES.read;
    const url = `m3api-rest/execute/${program}/${transaction};metadata=true;cono=${CASES.company}?${new URLSearchParams(record)}`;
    const answer = await firstValueFrom(ion.execute({ method: 'GET', url, headers: { Accept: 'application/json' }, responseType: 'json', source: 'conformance' }));
    same(asked.join(), 'false,true', 'the tokens asked for, by force');
    same(statuses.join(), '401,200', 'the answers');
    same(answer.isRetry, true, 'isRetry');
    demand(answer.body.MIRecord?.[0]?.NameValue?.length > 0, 'the second answer has no record');
});

await check('a call without a token is refused, and the library says so', async () => {
    const bare = new MIServiceCore(service(async (request) => asBody(request, await send(request))));
    const { expect, ...request } = CASES.read;
    const error = await firstValueFrom(bare.execute({ baseUrl: base, enableCsrf: false, ...request })).then(
        () => { throw new Error('was accepted'); },
        (refused) => refused,
    );
    same(error.errorCode, '401', 'errorCode');
});

console.log(failed === 0 ? 'all checks passed' : `${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
