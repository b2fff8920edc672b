//! What a statement does, as SQLite's authorizer tells while it is prepared.

use crate::tables::{Tables, Version};
use parking_lot::Mutex;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use std::{collections::BTreeSet, sync::Arc};

/// What is known of a statement.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) reads: Box<[Version]>,
    pub(crate) writes: Box<[Version]>,
    /// It changes the schema.
    pub(crate) schema: bool,
    /// Its result depends on more than the tables it reads.
    pub(crate) volatile: bool,
    /// It inserts, updates or deletes by itself.
    pub(crate) changes_rows: bool,
    /// It asks for the id of the row inserted last.
    pub(crate) asks_last_id: bool,
}

impl Facts {
    pub(crate) fn of(recording: &Recording, tables: &Tables) -> Self {
        let versions = |names: &BTreeSet<String>| names.iter().map(|name| tables.version(name)).collect();
        Self {
            reads: versions(&recording.reads),
            writes: versions(&recording.writes),
            schema: recording.schema,
            volatile: recording.volatile,
            changes_rows: recording.changes_rows,
            asks_last_id: recording.asks_last_id,
        }
    }
}

/// Listens while statements are prepared, and refuses what would break the store's transactions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The store's own statements are not judged.
    own: bool,
    recording: Recording,
}

#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// Something was prepared.
    pub(crate) heard: bool,
    pub(crate) refused: Option<String>,
    reads: BTreeSet<String>,
    writes: BTreeSet<String>,
    schema: bool,
    volatile: bool,
    changes_rows: bool,
    asks_last_id: bool,
}

impl Recorder {
    /// Attaches a recorder to a connection.
    pub(crate) fn attach(conn: &rusqlite::Connection) -> rusqlite::Result<Self> {
        let recorder = Self::default();
        let listener = recorder.clone();
        conn.authorizer(Some(move |context: AuthContext<'_>| listener.judge(&context)))?;
        Ok(recorder)
    }

    /// Whether what follows is the store's own.
    pub(crate) fn own(&self, own: bool) {
        self.0.lock().own = own;
    }

    /// What has been heard since the last call.
    pub(crate) fn take(&self) -> Recording {
        std::mem::take(&mut self.0.lock().recording)
    }

    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.0.lock();
        if state.own {
            return Authorization::Allow;
        }
        let refused = state.recording.hear(context);
        match refused {
            None => Authorization::Allow,
            Some(what) => {
                state.recording.refused = Some(what);
                Authorization::Deny
            }
        }
    }
}

impl Recording {
    /// Notes an action; says what it is if it is refused.
    fn hear(&mut self, context: &AuthContext<'_>) -> Option<String> {
        self.heard = true;
        match context.action {
            AuthAction::Read { table_name, .. } => {
                if is_volatile_table(table_name) {
                    self.volatile = true;
                }
                self.reads.insert(table_name.to_owned());
            }
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. } => {
                if is_schema_table(table_name) {
                    self.schema = true;
                } else {
                    // Of a trigger's or a cascade's rows the statement's own count says nothing.
                    self.changes_rows |= context.accessor.is_none();
                }
                self.writes.insert(table_name.to_owned());
            }
            AuthAction::Select | AuthAction::Recursive => {}
            AuthAction::Function { function_name } => {
                self.volatile |= !is_pure(function_name);
                self.asks_last_id |= function_name.eq_ignore_ascii_case("last_insert_rowid");
            }
            AuthAction::Transaction { operation } => {
                return Some(format!("{operation:?} of a transaction").to_lowercase());
            }
            AuthAction::Savepoint { operation, .. } => {
                return Some(format!("{operation:?} of a savepoint").to_lowercase());
            }
            AuthAction::Attach { .. } => return Some("attach".to_owned()),
            AuthAction::Detach { .. } => return Some("detach".to_owned()),
            AuthAction::CreateTempIndex { .. }
            | AuthAction::CreateTempTable { .. }
            | AuthAction::CreateTempTrigger { .. }
            | AuthAction::CreateTempView { .. } => {
                return Some("a temporary table, view or trigger".to_owned());
            }
            AuthAction::Pragma { pragma_name, pragma_value } => {
                self.volatile = true;
                if !is_harmless_pragma(pragma_name, pragma_value) {
                    return Some(format!("pragma {pragma_name}"));
                }
            }
            // All others change the schema or its statistics: CREATE, DROP, ALTER, REINDEX, ANALYZE.
            _ => self.schema = true,
        }
        None
    }
}

fn is_schema_table(name: &str) -> bool {
    matches!(name, "sqlite_master" | "sqlite_schema" | "sqlite_temp_master" | "sqlite_temp_schema")
}

/// Tables that change without the authorizer's knowledge.
fn is_volatile_table(name: &str) -> bool {
    (name.starts_with("sqlite_") && !is_schema_table(name))
        || name.starts_with("pragma_")
        || matches!(name, "dbstat" | "bytecode" | "tables_used")
}

/// Pragmas that only tell something.
fn is_harmless_pragma(name: &str, value: Option<&str>) -> bool {
    match name {
        "table_info" | "table_xinfo" | "table_list" | "index_list" | "index_info" | "index_xinfo"
        | "foreign_key_list" | "foreign_key_check" | "integrity_check" | "quick_check" => true,
        "application_id" | "collation_list" | "compile_options" | "data_version" | "database_list"
        | "encoding" | "foreign_keys" | "freelist_count" | "function_list" | "journal_mode"
        | "module_list" | "page_count" | "page_size" | "pragma_list" | "schema_version" | "synchronous"
        | "user_version" => value.is_none(),
        _ => false,
    }
}

/// Functions whose result depends on their arguments alone. What is not named here is not trusted:
/// functions of the date may read the clock, functions of the user's own may read anything.
fn is_pure(name: &str) -> bool {
    const PURE: &[&str] = &[
        "->",
        "->>",
        "abs",
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "avg",
        "ceil",
        "ceiling",
        "char",
        "coalesce",
        "concat",
        "concat_ws",
        "cos",
        "cosh",
        "count",
        "cume_dist",
        "degrees",
        "dense_rank",
        "exp",
        "first_value",
        "floor",
        "format",
        "glob",
        "group_concat",
        "hex",
        "if",
        "ifnull",
        "iif",
        "instr",
        "json",
        "json_array",
        "json_array_length",
        "json_error_position",
        "json_extract",
        "json_group_array",
        "json_group_object",
        "json_insert",
        "json_object",
        "json_patch",
        "json_pretty",
        "json_quote",
        "json_remove",
        "json_replace",
        "json_set",
        "json_type",
        "json_valid",
        "lag",
        "last_value",
        "lead",
        "length",
        "like",
        "likelihood",
        "likely",
        "ln",
        "log",
        "log10",
        "log2",
        "lower",
        "ltrim",
        "max",
        "min",
        "mod",
        "nth_value",
        "ntile",
        "nullif",
        "octet_length",
        "percent_rank",
        "pi",
        "pow",
        "power",
        "printf",
        "quote",
        "radians",
        "rank",
        "replace",
        "round",
        "row_number",
        "rtrim",
        "sign",
        "sin",
        "sinh",
        "soundex",
        "sqrt",
        "string_agg",
        "substr",
        "substring",
        "sum",
        "tan",
        "tanh",
        "total",
        "trim",
        "trunc",
        "typeof",
        "unhex",
        "unicode",
        "unistr",
        "unistr_quote",
        "unlikely",
        "upper",
        "zeroblob",
    ];
    PURE.iter().any(|pure| pure.eq_ignore_ascii_case(name))
}
