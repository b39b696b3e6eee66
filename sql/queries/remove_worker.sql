-- A worker that ends in order.
DELETE FROM workers WHERE id = $1;
