-- The state of sealing, one row: what was given out last, where the next window begins, and which leader may
-- write.
create table sequencer (
    only_row           boolean     not null default true primary key check (only_row),
    last_ordinal       bigint      not null default 0,
    last_as_of         timestamptz,
    -- Roots of the perfect subtrees of the RFC 6962 tree over the event hashes, largest first.
    frontier           bytea[]     not null default '{}',
    -- Every event below (xid_floor, position_floor) is sealed. The position matters only inside one
    -- transaction, which may be larger than a window.
    xid_floor          xid8        not null default '0',
    position_floor     bigint      not null default 0,
    -- A dump restored into another cluster carries foreign transaction ids: noticed by this.
    cluster_identifier text,
    -- Raised by each new leader; every write of a leader compares it.
    generation         bigint      not null default 0
);

insert into sequencer default values;
