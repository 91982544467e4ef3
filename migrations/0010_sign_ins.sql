-- Sign-in sessions, kept on the server so that signing out ends them. Only a digest of the token is stored:
-- whoever reads this table cannot sign in with it.
create table sign_ins (
    token_hash   bytea not null check (octet_length(token_hash) = 32),
    account      uuid  not null,
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    last_seen_at timestamptz not null,
    constraint sign_ins_pkey primary key (token_hash)
);

create index sign_ins_account on sign_ins (account);
