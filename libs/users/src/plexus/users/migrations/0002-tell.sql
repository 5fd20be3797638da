-- Facts about one user, in the user's lane; the position of the first. Called as late in a function as possible:
-- from here on the lane is locked until the commit.
-- depends: 0001-tables

CREATE OR REPLACE FUNCTION users.tell(p_lane smallint, p_user text, p_kinds smallint[], p_datas bytea[])
RETURNS bigint LANGUAGE sql AS $$
    SELECT lanes.append('u', p_lane, p_kinds, array_fill(p_user, ARRAY[cardinality(p_kinds)]),
                        array_fill(0::bigint, ARRAY[cardinality(p_kinds)]),
                        array_fill(0::bigint, ARRAY[cardinality(p_kinds)]), p_datas)
$$;
