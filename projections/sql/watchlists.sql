-- The instruments people want to hear of. `name` is the id of the vault row that holds the text.
create table watchlists (
    id              uuid   not null primary key,
    owner           uuid   not null,
    name            uuid   not null,
    created_ordinal bigint not null
);

-- "My watchlists", in the order they were made.
create index watchlists_owner on watchlists (owner, created_ordinal);

-- The key answers "what is on this list?".
create table watched (
    watchlist     uuid   not null,
    instrument    uuid   not null,
    added_ordinal bigint not null,
    primary key (watchlist, instrument)
);
