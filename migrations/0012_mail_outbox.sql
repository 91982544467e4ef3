-- Mails to send, written in the step of the subscription that decided on them, under a deterministic key: the
-- same decision taken twice is one mail. `next_attempt_at` is the service's time, `leased_until` the
-- database's.
create table mail_outbox (
    key             text  not null,
    account         uuid  not null,
    kind            text  not null,
    payload         jsonb not null,
    ordinal         bigint not null,
    state           text  not null default 'due' check (state in ('due', 'sent', 'failed')),
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null,
    leased_until    timestamptz,
    message_id      text  not null,
    last_error      text,
    sent_at         timestamptz,
    constraint mail_outbox_pkey primary key (key)
);

create index mail_outbox_due on mail_outbox (next_attempt_at) where state = 'due';
create index mail_outbox_account on mail_outbox (account);
