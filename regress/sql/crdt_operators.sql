-- What users do to replicated values, at one site and at two that merge.
CREATE TABLE crdt_stock (sku text PRIMARY KEY, on_hand crdt.pn_counter, sold crdt.g_counter, tags crdt.or_set,
  seen crdt.g_set, retired crdt.two_p_set, note crdt.lww_register, owner crdt.mv_register);
INSERT INTO crdt_stock VALUES ('x', 10, 0, ARRAY['new'], ARRAY['s1'], ARRAY['a', 'b'], 'first'::text, 'ann'::text);
UPDATE crdt_stock SET on_hand = on_hand - 1, sold = sold + 1, tags = tags + 'sale', seen = seen + 's2',
  retired = retired - 'a', note = crdt.set(note, 'second'), owner = crdt.set(owner, 'bob') WHERE sku = 'x';
SELECT row_to_json(s) FROM crdt_stock s;
SELECT tags @> 'sale' AS one, tags @> ARRAY['sale', 'new'] AS all, tags @> ARRAY['sale', 'old'] AS not_all,
  tags && ARRAY['old', 'new'] AS some, crdt.count(tags), tags - 'new' @> 'new' AS removed FROM crdt_stock;
SELECT tags + ARRAY['x', 'y'] @> ARRAY['x', 'y'] AS added, (tags - ARRAY['new', 'sale'])::text[] AS emptied FROM crdt_stock;
SELECT on_hand > 8, on_hand >= 10, on_hand = 9, on_hand <> 9 FROM crdt_stock;
-- What cannot be.
UPDATE crdt_stock SET sold = sold + (-1);
UPDATE crdt_stock SET sold = sold - 1;
UPDATE crdt_stock SET retired = retired + 'a';
UPDATE crdt_stock SET seen = seen - 's1';
UPDATE crdt_stock SET on_hand = on_hand + 9223372036854775807;
UPDATE crdt_stock SET tags = tags + NULL::text RETURNING tags;
UPDATE crdt_stock SET on_hand = 'ten';
SELECT 5::crdt.pn_counter - (-9223372036854775808);

-- Two sites start alike, write apart, and merge, in both orders.
CREATE TEMP TABLE here AS SELECT sku, on_hand, sold, ARRAY['new', 'old']::crdt.or_set AS tags, seen, note, owner FROM crdt_stock;
CREATE TEMP TABLE there AS SELECT * FROM here;
UPDATE here SET on_hand = on_hand - 2, sold = sold + 2, tags = tags - 'old' + 'here', seen = seen + 'here',
  note = crdt.set(note, 'here'), owner = crdt.set(owner, 'here');
SET pgquorum.crdt_site_id = 2;
SELECT crdt.origin();
UPDATE there SET on_hand = crdt.reset(on_hand) + 3, sold = sold + 5, tags = tags - 'new' + 'there' + 'old', seen = seen + 'there',
  note = crdt.set(note, 'there'), owner = crdt.set(owner, 'there');
RESET pgquorum.crdt_site_id;
SELECT crdt.merge(h.on_hand, t.on_hand)::bigint AS on_hand, crdt.merge(h.sold, t.sold)::bigint AS sold,
  crdt.merge(h.tags, t.tags)::text[] AS tags, crdt.merge(h.seen, t.seen)::text[] AS seen,
  crdt.merge(h.note, t.note)::text AS note, crdt.merge(h.owner, t.owner)::text[] AS owner
FROM here h, there t;
SELECT crdt.merge(h.on_hand, t.on_hand)::text = crdt.merge(t.on_hand, h.on_hand)::text
  AND crdt.state(crdt.merge(h.tags, t.tags)) = crdt.state(crdt.merge(t.tags, h.tags))
  AND crdt.state(crdt.merge(h.note, t.note)) = crdt.state(crdt.merge(t.note, h.note))
  AND crdt.state(crdt.merge(h.owner, t.owner)) = crdt.state(crdt.merge(t.owner, h.owner)) AS same_in_both_orders
FROM here h, there t;
-- Merging again changes nothing.
SELECT crdt.state(crdt.merge(m, h.tags)) = crdt.state(m) AS again FROM here h, there t, crdt.merge(h.tags, t.tags) m;
SELECT crdt.merge(tags)::text[], crdt.merge(on_hand)::bigint FROM (TABLE here UNION ALL TABLE there) both_sites;
-- A conflict that is kept is resolved by assigning.
SELECT crdt.count(m) AS values, crdt.set(m, 'both')::text[] AS resolved FROM here h, there t, crdt.merge(h.owner, t.owner) m;

-- Operations are never the same ones, and later ones are later.
SELECT count(*) = 200 AS all_differ FROM (
  SELECT DISTINCT jsonb_path_query(crdt.state(ARRAY['e']::crdt.or_set), '$.elements[*].dots[*]') FROM generate_series(1, 200)) d;
-- A value with a time of the far future is followed, and does not drag other values along.
SELECT crdt.set('{"value": "x", "time": 252455615999999990, "site": "9.1"}'::crdt.lww_register, 'later')::text;
SELECT (crdt.state('now'::text::crdt.lww_register) ->> 'time')::bigint < 252455615999990000 AS unharmed;
SELECT '{"generation": 0, "seen": {"1.1": 18446744073709551615}, "elements": []}'::crdt.or_set + 'x';

-- Plain assignment, with the trigger, is a change of what the column had.
CREATE TRIGGER assign BEFORE UPDATE ON crdt_stock FOR EACH ROW EXECUTE FUNCTION crdt.assign();
UPDATE crdt_stock SET on_hand = 42, tags = ARRAY['sale', 'b'], note = 'third'::text, owner = 'eve'::text;
SELECT row_to_json(s) FROM crdt_stock s;
SELECT (SELECT sum(x::bigint) FROM jsonb_path_query(crdt.state(on_hand), '$.sites.*[0]') x) AS counted_up,
  (SELECT sum(x::bigint) FROM jsonb_path_query(crdt.state(on_hand), '$.sites.*[1]') x) AS counted_down FROM crdt_stock;
UPDATE crdt_stock SET on_hand = on_hand - 2, sold = 5;
SELECT on_hand::bigint, sold::bigint FROM crdt_stock;
UPDATE crdt_stock SET sold = 4;
UPDATE crdt_stock SET seen = ARRAY['s1'];
UPDATE crdt_stock SET seen = ARRAY['s1', 's2', 's3'], note = NULL;
SELECT seen::text[], note IS NULL AS no_note FROM crdt_stock;
CREATE TRIGGER wrong AFTER UPDATE ON crdt_stock FOR EACH ROW EXECUTE FUNCTION crdt.assign();
UPDATE crdt_stock SET sku = 'y';
DROP TABLE crdt_stock;
-- Users may raise neither site nor incarnation.
CREATE ROLE crdt_user;
SET ROLE crdt_user;
SET pgquorum.crdt_site_id = 3;
SELECT (1::crdt.pn_counter + 1)::bigint;
RESET ROLE;
DROP ROLE crdt_user;
