-- Users and what they may do. Guests have no row: their token alone says who they are.

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    -- Normalised by the application (lower case), so that one address is one account.
    email         text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    name          text NOT NULL DEFAULT '',
    phone         text,
    locale        text NOT NULL DEFAULT 'id',
    role          text NOT NULL CHECK (role IN ('customer', 'staff', 'admin')),
    -- Digest of the Idempotency-Key under which the account was registered.
    request       text,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE staff_cinemas (
    user_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    cinema_id integer NOT NULL REFERENCES cinemas,
    manager   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, cinema_id)
);

-- Every act of an operator: who, when, why.
CREATE TABLE acts (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor    text NOT NULL,
    verb     text NOT NULL,
    subject  text NOT NULL,
    reason   text NOT NULL DEFAULT '',
    details  jsonb NOT NULL DEFAULT '{}',
    acted_at timestamptz NOT NULL DEFAULT now()
);
