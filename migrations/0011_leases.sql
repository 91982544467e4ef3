-- Who may do a long piece of work. The generation fences a holder that slept through the end of its lease.
-- Times here are the database's own, so that a simulated or jumping clock of the service ends no lease early.
create table leases (
    name       text   not null,
    holder     uuid   not null,
    generation bigint not null,
    until      timestamptz not null,
    constraint leases_pkey primary key (name)
);
