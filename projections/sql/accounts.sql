-- Who may sign in and what they are told. No address here: it lies in the vault under the account as its owner.
create table accounts (
    id             uuid    not null primary key,
    admin          boolean not null default false,
    session_mail   boolean not null,
    suspended      boolean not null default false,
    opened_ordinal bigint  not null
);

-- "Who is administrator?" is asked at every start; there are few.
create index accounts_admins on accounts (opened_ordinal) where admin;
