-- The order of the list of an endpoint's messages to the last column. By the negated ordinal, so that no other index gives that
-- order: walking all messages backwards until fifty are the endpoint's looks cheap and is not, where its last ones are old.
drop index webhook_deliveries_endpoint;
create index webhook_deliveries_endpoint on webhook_deliveries (endpoint, (-ordinal), id);
