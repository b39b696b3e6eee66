-- One memory for all requests whose effect is in PostgreSQL, in place of one for operators and one for registering.

-- What requests with an Idempotency-Key were answered, for 24 hours; written with their effect.
CREATE TABLE requests (
    id          text PRIMARY KEY,
    fingerprint text NOT NULL,
    answer      jsonb NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX requests_by_age ON requests (made_at);

DROP TABLE operator_requests;
ALTER TABLE users DROP COLUMN request;
