//! A live dependency graph: cycles refused or resolved, ready tasks by priority and age, failure policies, a parallel executor.
