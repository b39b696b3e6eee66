-- Book one side of a movement of money.
INSERT INTO postings (kind, entry_id, session_id, account, amount, currency, at_ms)
VALUES (:kind, :entry_id, :session_id, :account, :amount, :currency, :at_ms)
