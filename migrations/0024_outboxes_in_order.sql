-- Everybody who watches a stock of a round has a mail that is due at the same instant, and so have the endpoints: an index on
-- that instant alone leaves all of them to be sorted each time a few are taken. These are in the order in which they are taken.
drop index mail_outbox_due;
create index mail_outbox_due on mail_outbox (next_attempt_at, ordinal, key) where state = 'due';

drop index webhook_deliveries_due;
create index webhook_deliveries_due on webhook_deliveries (next_attempt_at, ordinal, id) where state = 'due';
