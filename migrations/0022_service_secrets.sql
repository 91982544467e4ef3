-- Secrets of the service itself, such as the one that signs links in mails. A link may come back to any node, so all nodes
-- share them, whatever data folders they have; whoever needs one first has made it for all.
create table service_secrets (
    name    text  not null,
    value   bytea not null,
    made_at timestamptz not null default clock_timestamp(),
    constraint service_secrets_pkey primary key (name)
);
