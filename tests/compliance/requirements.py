"""What SQLAlchemy's compliance suite may ask of this dialect: what SQLite has."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

# Open by default there, and not to be had of SQLite.
_LACKING = {
    "foreign keys bind only after a PRAGMA": """
        cross_schema_fk_reflection foreign_keys on_update_cascade on_update_or_deferrable_fks
    """,
    "the first connection's tables would be left behind": "independent_connections independent_readonly_connections",
    "a UNION takes no parentheses": """
        parens_in_union_contained_select_w_limit_offset parens_in_union_contained_select_wo_limit_offset
    """,
    "not in SQLite": """
        implicitly_named_constraints json_index_supplementary_unicode_element nested_aggregates
        numeric_received_as_decimal_untyped schema_create_delete
    """,
}
# Closed by default there, because not every database has them.
_HAVING = """
    autocommit boolean_col_expressions check_constraint_reflection computed_columns
    computed_columns_reflect_persisted computed_columns_stored computed_columns_virtual create_table_as
    create_temp_table_as ctes ctes_with_values date_historic datetime_historic datetime_literals dbapi_lastrowid
    emulated_lastrowid emulated_lastrowid_even_with_sequences except_ expression_server_defaults fetch_expression
    fetch_offset_with_options fk_constraint_option_reflection_ondelete_noaction
    fk_constraint_option_reflection_ondelete_restrict fk_constraint_option_reflection_onupdate_restrict
    float_or_double_precision_behaves_generically foreign_key_constraint_name_reflection
    foreign_key_constraint_option_reflection_ondelete foreign_key_constraint_option_reflection_onupdate
    has_temp_table index_ddl_if_exists indexes_check_column_order indexes_with_expressions infinity_floats
    inline_check_constraint_reflection intersect isolation_level json_array_indexes json_type
    legacy_unconditional_json_extract mod_operator_as_percent_sign non_updating_cascade nullsordering
    nvarchar_types order_by_collation order_by_label_with_expression percent_schema_names
    precision_numerics_enotation_small precision_numerics_retains_significant_digits reflects_pk_names
    regexp_match regexp_replace repeated_column_foreign_keys repeated_remote_col_foreign_keys savepoints
    schema_reflection schemas server_defaults skip_autocommit_rollback supports_bitwise_and supports_bitwise_not
    supports_bitwise_or supports_bitwise_shift supports_bitwise_xor table_ddl_if_exists temp_table_names
    temp_table_reflection temporary_tables temporary_views tuple_in tuple_in_w_empty unicode_ddl update_from
    view_column_reflection view_reflection views window_functions window_range window_range_numeric
"""

_HAVING_SINCE_2_0 = "ctes_on_dml ctes_with_update_delete"
VERSION = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2])


def _closed(reason: str) -> object:
    return exclusions.skip_if(exclusions.BooleanPredicate(True, reason))


class Requirements(SuiteRequirements):
    """Say yes and no by the lists above."""

    def get_isolation_levels(self, config: object) -> dict[str, object]:
        """Name the levels that can be set."""
        return {"default": "SERIALIZABLE", "supported": ["READ UNCOMMITTED", "SERIALIZABLE", "AUTOCOMMIT"]}

    def get_order_by_collation(self, config: object) -> str:
        """Name a collation that is always there."""
        return "NOCASE"


def _open(names: str) -> None:
    for name in names.split():
        setattr(Requirements, name, property(lambda _self: exclusions.open()))


def _close(names: str, reason: str) -> None:
    for name in names.split():
        setattr(Requirements, name, property(lambda _self: _closed(reason)))


# Properties, because a decorator changes what it is given.
_open(_HAVING)
for _reason, _names in _LACKING.items():
    _close(_names, _reason)
if VERSION >= (2, 0):
    _open(_HAVING_SINCE_2_0)
if "get_table_options" in vars(SQLiteDialect):
    _open("reflect_table_options")
