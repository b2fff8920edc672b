//! The two calls of SQLite that rusqlite does not wrap.

use rusqlite::{Connection, ffi};

/// Whether the open transaction leaves a deferred foreign key unsatisfied, so that it could not be
/// committed as it stands.
pub(crate) fn owes_foreign_keys(conn: &Connection) -> bool {
    let (mut current, mut highest) = (0, 0);
    // SAFETY: the handle is that of a live connection, which `conn` keeps open and which no other
    // thread uses during the call, as `Connection` is not `Sync`; both out-pointers are to locals.
    let code = unsafe {
        ffi::sqlite3_db_status(
            conn.handle(),
            ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
            &mut current,
            &mut highest,
            0,
        )
    };
    // It fails only for an unknown status. Then the commit itself is the judge.
    code == ffi::SQLITE_OK && current != 0
}

/// Sets what `last_insert_rowid` says until the next insert, so that a statement that inserts nothing is
/// not told the id of another's row.
pub(crate) fn set_last_insert_id(conn: &Connection, id: i64) {
    // SAFETY: as above, the handle is that of a live connection that no other thread uses.
    unsafe { ffi::sqlite3_set_last_insert_rowid(conn.handle(), id) }
}
