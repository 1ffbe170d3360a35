// The calls of a node-vault user against a server; prints one JSON object with what came back. Arguments: address, token, CA file, mount.
'use strict';

const fs = require('fs');

const [address, token, ca, mount] = process.argv.slice(2);
const options = { apiVersion: 'v1', endpoint: address, token, requestOptions: { ca: fs.readFileSync(ca) } };
const connect = require('node-vault');

async function main() {
  const vault = connect(options);
  const seen = {};
  seen.initialized = (await vault.initialized()).initialized;
  seen.sealed = (await vault.status()).sealed;
  seen.health = (await vault.health()).initialized;
  await vault.mount({ mount_point: mount, type: 'kv', options: { version: '2' } });
  seen.mounted = `${mount}/` in (await vault.mounts()).data;
  seen.version = (await vault.write(`${mount}/data/app`, { data: { a: 'b' } })).data.version;
  seen.read = (await vault.read(`${mount}/data/app`)).data.data;
  seen.list = (await vault.list(`${mount}/metadata`)).data.keys;
  await vault.delete(`${mount}/data/app`);
  seen.missing = await vault.read(`${mount}/data/nothing`).catch((error) => error.response.statusCode);
  await vault.addPolicy({ name: mount, rules: `path "${mount}/*" { capabilities = ["read"] }` });
  seen.policies = (await vault.policies()).policies.includes(mount);
  seen.rules = (await vault.getPolicy({ name: mount })).rules;
  const created = await vault.tokenCreate({ policies: [mount], ttl: '1h' });
  vault.token = token; // the client goes over to every token that it makes
  const own = connect({ ...options, token: created.auth.client_token });
  seen.self = (await own.tokenLookupSelf()).data.policies;
  seen.renewed = (await own.tokenRenewSelf({ increment: 600 })).auth.lease_duration;
  seen.refused = await own.write(`${mount}/data/app`, { data: {} }).catch((error) => error.message);
  await vault.tokenRevoke({ token: created.auth.client_token });
  seen.revoked = await own.tokenLookupSelf().catch((error) => error.response.statusCode);
  await vault.enableAuth({ mount_point: mount, type: 'userpass' });
  seen.auths = `${mount}/` in (await vault.auths()).data;
  await vault.write(`auth/${mount}/users/me`, { password: 'a password', policies: mount });
  const person = connect({ ...options, token: undefined });
  seen.login = (await person.userpassLogin({ mount_point: mount, username: 'me', password: 'a password' })).auth.policies;
  await vault.disableAuth({ mount_point: mount });
  await vault.unmount({ mount_point: mount });
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
