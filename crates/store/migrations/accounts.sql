-- Accounts and their users: see schema.rs.

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
) STRICT;
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at TEXT NOT NULL,
    disabled_at TEXT,
    UNIQUE (account, email)
) STRICT;
INSERT INTO accounts VALUES ('00000000-0000-0000-0000-000000000000', 'operators', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'));
INSERT INTO users VALUES ('00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000',
    'operator@localhost', 'operator', 'owner', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), NULL);

CREATE TABLE tokens_of_users (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    scope TEXT NOT NULL,
    app TEXT,
    expires_at TEXT,
    last_used_at TEXT,
    revoked_at TEXT
) STRICT;
INSERT INTO tokens_of_users SELECT id, '00000000-0000-0000-0000-000000000000', name, hash, created_at, scope, app, expires_at, last_used_at, revoked_at
    FROM tokens;
DROP TABLE tokens;
ALTER TABLE tokens_of_users RENAME TO tokens;
CREATE INDEX tokens_of_user ON tokens (user);

DROP TABLE app_count;
CREATE TABLE apps_of_accounts (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    host_suffix TEXT NOT NULL,
    spec TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    active_deployment TEXT,
    pinned_deployment TEXT,
    deleting INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, name)
) STRICT;
INSERT INTO apps_of_accounts SELECT id, '00000000-0000-0000-0000-000000000000', name, '', spec, created_at, updated_at,
    active_deployment, pinned_deployment, deleting FROM apps;
DROP TABLE apps;
ALTER TABLE apps_of_accounts RENAME TO apps;
CREATE INDEX apps_listed ON apps (account, created_at, id) WHERE deleting = 0;
CREATE INDEX apps_with_clusters ON apps (account) WHERE instr(spec, 'cluster_name') > 0;

CREATE TABLE app_count (
    account TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    listed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO app_count SELECT id, (SELECT count(*) FROM apps WHERE account = accounts.id AND deleting = 0) FROM accounts;
CREATE TRIGGER account_made AFTER INSERT ON accounts BEGIN
    INSERT INTO app_count VALUES (new.id, 0);
END;
CREATE TRIGGER app_listed AFTER INSERT ON apps WHEN new.deleting = 0 BEGIN
    UPDATE app_count SET listed = listed + 1 WHERE account = new.account;
END;
CREATE TRIGGER app_relisted AFTER UPDATE OF deleting ON apps WHEN new.deleting <> old.deleting BEGIN
    UPDATE app_count SET listed = listed + old.deleting - new.deleting WHERE account = new.account;
END;
CREATE TRIGGER app_gone AFTER DELETE ON apps WHEN old.deleting = 0 BEGIN
    UPDATE app_count SET listed = listed - 1 WHERE account = old.account;
END;

ALTER TABLE deployments ADD COLUMN host_suffix TEXT NOT NULL DEFAULT '';
CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    app TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX hosts_of_app ON hosts (app);

CREATE TABLE clusters_of_accounts (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    engine TEXT NOT NULL,
    version TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    user TEXT NOT NULL,
    password TEXT NOT NULL,
    database TEXT NOT NULL,
    ca_certificate TEXT NOT NULL,
    tls INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (account, name)
) STRICT;
INSERT INTO clusters_of_accounts SELECT id, '00000000-0000-0000-0000-000000000000', name, engine, version, host, port, user, password, database,
    ca_certificate, tls, created_at FROM clusters;
DROP TABLE clusters;
ALTER TABLE clusters_of_accounts RENAME TO clusters;

CREATE TABLE account_limits (
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    resource TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (account, resource)
) STRICT, WITHOUT ROWID;

CREATE TABLE uploads (
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    upload TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (upload, account)
) STRICT, WITHOUT ROWID;

ALTER TABLE audit ADD COLUMN account TEXT NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE audit ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN user_name TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_of_account ON audit (account, id);
