-- A command given twice has one effect and one answer. The row is written with the events of the command.
create table command_log (
    command_id     uuid  not null,
    account        uuid,
    -- Digest of the request; the same id with another body is refused.
    request_hash   bytea check (octet_length(request_hash) = 32),
    aggregate_type text  not null,
    aggregate_id   text  not null,
    -- The events the command made: first_sequence .. first_sequence + events - 1.
    first_sequence bigint  not null,
    events         integer not null check (events >= 0),
    done_at        timestamptz not null default clock_timestamp(),
    constraint command_log_pkey primary key (command_id)
);
