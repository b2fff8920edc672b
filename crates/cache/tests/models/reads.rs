//! Steps and progress of the table: a reader waits for nobody.

use super::table::{collect, look, look_for, replace, slot, table_of, unlink};
use ropewalk_cache::raw::{
    hazard::Records,
    table::{Found, Reader, Table},
};
use ropewalk_prove::{
    Explorer, History, Latch, Sequential, linearizable, lock_free, operation, sync::Arc, thread, wait_free,
};

#[test]
fn table_find_vs_unlink_is_lock_free() {
    lock_free(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 1);
            let out = collect(&mut writer);
            out.len() + writer.retired()
        });
        let seen = look(&reader, 1);
        assert!(seen.is_none() || seen == Some(10));
        assert_eq!(t.join().unwrap(), 1);
        assert_eq!(look(&reader, 1), None);
    });
}

#[test]
fn table_find_vs_unlink_and_reuse_is_lock_free() {
    lock_free(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 1);
            collect(&mut writer);
            writer.link(1, 11, u64::MAX, 0);
            unlink(&mut writer, 1);
            collect(&mut writer);
        });
        let seen = look(&reader, 1);
        assert!(seen.is_none() || seen == Some(10) || seen == Some(11));
        t.join().unwrap();
    });
}

#[test]
fn table_find_vs_replace_is_lock_free() {
    lock_free(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || {
            replace(&mut writer, 1, 11);
            collect(&mut writer);
            replace(&mut writer, 1, 12);
            collect(&mut writer);
        });
        let first = look(&reader, 1);
        let second = look(&reader, 1);
        assert!(first.is_some() && first <= second, "never absent, never older: {first:?} {second:?}");
        t.join().unwrap();
        assert_eq!(look(&reader, 1), Some(12));
    });
}

#[test]
fn table_find_vs_shift_is_lock_free() {
    lock_free(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10), (5, 50), (9, 90)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 1);
            unlink(&mut writer, 5);
        });
        assert_eq!(look(&reader, 9), Some(90), "never absent");
        t.join().unwrap();
    });
}

#[test]
fn table_find_vs_link_that_grows_is_lock_free() {
    lock_free(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(0, 1), (1, 10), (2, 20)]);
        let t = thread::spawn(move || {
            writer.link(5, 50, u64::MAX, 0);
        });
        assert_eq!(look(&reader, 2), Some(20), "never absent");
        let new = look(&reader, 5);
        assert!(new.is_none() || new == Some(50));
        t.join().unwrap();
        assert_eq!(look(&reader, 5), Some(50));
    });
}

#[test]
fn table_find_vs_find_is_lock_free() {
    lock_free(|| {
        let records = Records::new(2);
        let (reader, mut writer) = table_of(&records, &[(1, 10)]);
        let reader = Arc::new(reader);
        let hit = |reader: &Reader<u64>| match reader.find(0, 1, |_| true) {
            Found::Entry(at) => {
                at.count();
                1
            }
            Found::Absent => 0,
            Found::Crowded => panic!("there is a record for each"),
        };
        let theirs = reader.clone();
        let t = thread::spawn(move || hit(&theirs));
        let both = hit(&reader) + t.join().unwrap();
        assert_eq!((both, records.hits()), (2, 2));
        unlink(&mut writer, 1);
        assert_eq!(collect(&mut writer), [10]);
    });
}

/// Two on one record: who finds it taken goes on without.
#[test]
fn table_find_without_a_record_is_lock_free() {
    lock_free(|| {
        let (reader, _writer) = table_of(&Records::new(1), &[(1, 10)]);
        let reader = Arc::new(reader);
        let theirs = reader.clone();
        let t = thread::spawn(move || matches!(theirs.find(0, 1, |_| true), Found::Entry(_)));
        let mine = matches!(reader.find(0, 1, |_| true), Found::Entry(_));
        assert!(mine | t.join().unwrap(), "the record is free for the first");
    });
}

/// Two readers beside the writer.
#[test]
fn table_find_of_two_vs_replace_is_lock_free() {
    Explorer::new()
        .lock_free(|| {
            let (reader, mut writer) = table_of(&Records::new(2), &[(1, 10)]);
            let reader = Arc::new(reader);
            let theirs = reader.clone();
            let t = thread::spawn(move || look(&theirs, 1));
            let w = thread::spawn(move || {
                replace(&mut writer, 1, 11);
                collect(&mut writer);
            });
            assert!(look(&reader, 1).is_some() && t.join().unwrap().is_some(), "never absent");
            w.join().unwrap();
        })
        .proved();
}

/// The way of a latched look: whoever is suspended inside stops the other.
#[test]
fn control_find_under_the_latch_of_the_writer_waits() {
    let waits = Explorer::new().lock_free(|| {
        let (_, writer) = table_of(&Records::new(1), &[(1, 10)]);
        let shard = Arc::new(Latch::new(writer));
        let theirs = shard.clone();
        let t = thread::spawn(move || unlink(&mut theirs.lock(), 1));
        let _ = shard.lock().walk(1).next();
        t.join().unwrap();
    });
    waits.refuted();
}

/// Each replacement may send the reader back to the start.
#[test]
fn control_find_is_not_wait_free() {
    let grows = Explorer::new()
        .wait_free("find", |n| {
            move || {
                let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
                let t = thread::spawn(move || {
                    for next in 0..n as u64 {
                        replace(&mut writer, 1, 11 + next);
                    }
                });
                operation("find", || assert!(look(&reader, 1).is_some()));
                t.join().unwrap();
            }
        })
        .unwrap_err();
    assert!(grows.steps.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", grows.steps);
}

#[test]
fn table_find_vs_find_is_wait_free() {
    wait_free("find", |n| {
        move || {
            let (reader, _writer) = table_of(&Records::new(2), &[(1, 10)]);
            let reader = Arc::new(reader);
            let theirs = reader.clone();
            let t = thread::spawn(move || {
                (0..n).for_each(|_| assert_eq!(look(&theirs, 1), Some(10)));
            });
            operation("find", || assert_eq!(look(&reader, 1), Some(10)));
            t.join().unwrap();
        }
    });
}

/// Two who found the same entry raise its last use.
#[test]
fn table_touch_vs_touch_is_lock_free() {
    lock_free(|| {
        let (reader, writer) = table_of(&Records::new(2), &[(1, 10)]);
        let at = slot(&writer, 1);
        let reader = Arc::new(reader);
        let touch = |reader: &Reader<u64>, now| match reader.find(0, 1, |_| true) {
            Found::Entry(at) => {
                at.touch(now);
                assert!(at.accessed() >= now, "nobody brings it back");
            }
            Found::Absent | Found::Crowded => panic!("it is there, and a record for each"),
        };
        let theirs = reader.clone();
        let t = thread::spawn(move || touch(&theirs, 4));
        touch(&reader, 5);
        t.join().unwrap();
        assert_eq!(writer.times(at).1, 5);
    });
}

/// What is done with a found entry, beside a writer that replaces it.
#[test]
fn table_look_vs_replace_is_wait_free() {
    wait_free("look", |n| {
        move || {
            let records = Records::new(1);
            let (reader, mut writer) = table_of(&records, &[(1, 10)]);
            let Found::Entry(at) = reader.find(0, 1, |_| true) else { panic!("it is there") };
            let t = thread::spawn(move || {
                for next in 0..n as u64 {
                    replace(&mut writer, 1, 11 + next);
                    writer.set_stamp(next);
                    collect(&mut writer);
                }
            });
            operation("look", || {
                assert_eq!(at.with(|content| *content), 10);
                assert_eq!((at.expires(), at.accessed()), (u64::MAX, 0));
                at.touch(1);
                at.set_mark(at.mark() + reader.stamp());
                at.count();
                assert_eq!((records.count(), records.hits()), (1, 1));
                drop(at);
            });
            t.join().unwrap();
        }
    });
}

/// The writer's own operations, beside readers who come and go.
#[test]
fn table_writer_vs_find_is_wait_free() {
    wait_free("write", |n| {
        move || {
            let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
            let t = thread::spawn(move || {
                (0..n).for_each(|_| assert!(look_for(&reader, 1, |_| true) != Some(12)));
            });
            operation("write", || {
                let at = slot(&writer, 1);
                assert_eq!(writer.read(at, |content| *content), Some(10));
                assert_eq!((writer.len(), writer.is_empty(), writer.retired()), (1, false, 0));
                writer.set_mark(at, writer.mark(at) + writer.times(at).1);
                writer.replace(1, at, 11, u64::MAX, 0);
                unlink(&mut writer, 1);
                collect(&mut writer);
            });
            t.join().unwrap();
        }
    });
}

/// No state is left behind by a table of another number.
#[test]
fn table_collect_beside_a_reader_of_another_table() {
    lock_free(|| {
        let records = Records::new(1);
        let (reader, _other) = table_of(&records, &[(1, 10)]);
        let mut writer = Table::new(2, &records).writer;
        let at = writer.link(1, 20, u64::MAX, 0);
        let t = thread::spawn(move || {
            assert!(writer.unlink(1, at));
            // A slot of the same number is looked at, in another table.
            collect(&mut writer)
        });
        assert_eq!(look(&reader, 1), Some(10));
        assert_eq!(t.join().unwrap(), [20]);
    });
}

#[derive(Clone, Debug)]
enum Op {
    Find,
    /// Links it, or leads the cell to it; `None` unlinks.
    Set(Option<u64>),
}

/// What one tag leads to.
#[derive(Clone)]
struct Entry(Option<u64>);

impl Sequential for Entry {
    type Op = Op;
    type Return = Option<u64>;
    fn apply(&mut self, op: &Op) -> Option<u64> {
        match op {
            Op::Find => self.0,
            Op::Set(content) => {
                self.0 = *content;
                None
            }
        }
    }
}

/// Slots are reused for the same key: the second replacement takes the first slot again.
#[test]
fn table_find_vs_replace_is_linearizable() {
    linearizable(Entry(Some(10)), |history: &History<Entry>| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let h = history.clone();
        let t = thread::spawn(move || {
            for _ in 0..2 {
                h.call(Op::Find, || look(&reader, 1));
            }
        });
        for content in [11, 12] {
            history.call(Op::Set(Some(content)), || {
                replace(&mut writer, 1, content);
                collect(&mut writer);
                None
            });
        }
        t.join().unwrap();
    });
}

#[test]
fn table_find_vs_link_and_unlink_is_linearizable() {
    linearizable(Entry(Some(10)), |history: &History<Entry>| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let h = history.clone();
        let t = thread::spawn(move || {
            for _ in 0..2 {
                h.call(Op::Find, || look(&reader, 1));
            }
        });
        history.call(Op::Set(None), || {
            unlink(&mut writer, 1);
            collect(&mut writer);
            None
        });
        history.call(Op::Set(Some(11)), || {
            writer.link(1, 11, u64::MAX, 0);
            None
        });
        t.join().unwrap();
    });
}
