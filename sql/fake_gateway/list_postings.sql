-- The whole book.
SELECT kind, entry_id, session_id, account, amount, currency, at_ms FROM postings ORDER BY posting_id
