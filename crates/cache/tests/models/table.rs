//! Orderings of the table: what a reader finds is there, stays there, and is not missed.
//!
//! Homes are the lower two bits of a tag. A content is only looked at through its cell, so loom sees each look that is not
//! ordered before the content is taken out.

use ropewalk_cache::raw::{
    hazard::Records,
    table::{Found, Reader, Table, Writer},
};
use ropewalk_prove::{model, sync::Arc, thread};

pub(crate) type Both = (Reader<u64>, Writer<u64>);

/// A table with these entries, tag and content.
pub(crate) fn table_of(records: &Records, entries: &[(u32, u64)]) -> Both {
    let Table { reader, mut writer } = Table::new(1, records);
    for &(tag, content) in entries {
        writer.link(tag, content, u64::MAX, 0);
    }
    (reader, writer)
}

pub(crate) fn look(reader: &Reader<u64>, tag: u32) -> Option<u64> {
    look_for(reader, tag, |_| true)
}

pub(crate) fn look_for(reader: &Reader<u64>, tag: u32, is: impl FnMut(&u64) -> bool) -> Option<u64> {
    match reader.find(0, tag, is) {
        Found::Entry(at) => Some(at.with(|content| *content)),
        Found::Absent => None,
        Found::Crowded => panic!("there is a record for each"),
    }
}

/// The linked slot with this tag.
pub(crate) fn slot(writer: &Writer<u64>, tag: u32) -> u32 {
    writer.walk(tag).next().expect("linked")
}

pub(crate) fn unlink(writer: &mut Writer<u64>, tag: u32) {
    let slot = slot(writer, tag);
    assert!(writer.unlink(tag, slot));
}

pub(crate) fn replace(writer: &mut Writer<u64>, tag: u32, content: u64) {
    let old = slot(writer, tag);
    writer.replace(tag, old, content, u64::MAX, 0);
}

/// Takes out what nobody looks at.
pub(crate) fn collect(writer: &mut Writer<u64>) -> Vec<u64> {
    let mut out = Vec::new();
    writer.collect(|content| out.push(content));
    out
}

#[test]
fn table_find_vs_replace() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || {
            replace(&mut writer, 1, 11);
            let out = collect(&mut writer);
            assert!(out.is_empty() || out == [10]);
            writer.retired()
        });
        let seen = look(&reader, 1);
        assert!(seen == Some(10) || seen == Some(11), "never absent: {seen:?}");
        if seen == Some(11) {
            assert_eq!(look(&reader, 1), Some(11), "never older again");
        }
        t.join().unwrap();
        assert_eq!(look(&reader, 1), Some(11));
    });
}

/// Without a fence of the writer's that would order what the cell must.
#[test]
fn table_replace_alone_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || look(&reader, 1));
        replace(&mut writer, 1, 11);
        let seen = t.join().unwrap();
        assert!(seen == Some(10) || seen == Some(11), "never absent: {seen:?}");
    });
}

#[test]
fn table_replace_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || look(&reader, 1));
        replace(&mut writer, 1, 11);
        let out = collect(&mut writer);
        let seen = t.join().unwrap();
        assert!(seen == Some(10) || seen == Some(11), "never absent: {seen:?}");
        assert!(out == [10] || writer.retired() == 1);
        // Nobody is inside any more.
        assert_eq!(out.len() + collect(&mut writer).len(), 1);
        assert_eq!(writer.retired(), 0);
    });
}

#[test]
fn table_find_vs_unlink_and_reuse() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 1);
            collect(&mut writer);
            writer.link(2, 20, u64::MAX, 0);
        });
        let seen = look(&reader, 1);
        assert!(seen.is_none() || seen == Some(10), "not what took its slot: {seen:?}");
        t.join().unwrap();
        assert_eq!((look(&reader, 1), look(&reader, 2)), (None, Some(20)));
    });
}

#[test]
fn table_unlink_and_reuse_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || [look(&reader, 1), look(&reader, 2)]);
        unlink(&mut writer, 1);
        collect(&mut writer);
        writer.link(2, 20, u64::MAX, 0);
        let [old, new] = t.join().unwrap();
        assert!(old.is_none() || old == Some(10));
        assert!(new.is_none() || new == Some(20));
        collect(&mut writer);
        assert_eq!(writer.retired(), 0);
    });
}

/// The slot that a reader names is unlinked, reused for the same tag, and unlinked again.
#[test]
fn table_find_vs_unlink_twice() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 1);
            collect(&mut writer);
            writer.link(1, 11, u64::MAX, 0);
            unlink(&mut writer, 1);
            collect(&mut writer);
        });
        let seen = look(&reader, 1);
        assert!(seen.is_none() || seen == Some(10) || seen == Some(11), "{seen:?}");
        t.join().unwrap();
        assert_eq!(look(&reader, 1), None);
    });
}

/// The first segment and the first level are full: one more needs the next of both.
#[test]
fn table_link_that_grows_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(0, 1), (1, 10), (2, 20)]);
        let t = thread::spawn(move || (look(&reader, 1), look(&reader, 5), reader));
        writer.link(5, 50, u64::MAX, 0);
        let (old, new, reader) = t.join().unwrap();
        assert_eq!(old, Some(10), "never absent");
        assert!(new.is_none() || new == Some(50), "{new:?}");
        assert_eq!([look(&reader, 1), look(&reader, 5)], [Some(10), Some(50)]);
    });
}

/// A smaller table is not kept up, so what its cells say does not count.
#[test]
fn table_link_that_grows_and_unlink_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(0, 1), (1, 10), (2, 20)]);
        let t = thread::spawn(move || look(&reader, 1));
        writer.link(5, 50, u64::MAX, 0);
        unlink(&mut writer, 1);
        let out = collect(&mut writer);
        let seen = t.join().unwrap();
        assert!(seen.is_none() || seen == Some(10));
        assert_eq!(out.len() + writer.retired(), 1);
    });
}

#[test]
fn table_link_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(0, 1), (1, 10)]);
        let t = thread::spawn(move || {
            if let Found::Entry(at) = reader.find(0, 2, |content| *content == 20) {
                assert_eq!((at.expires(), at.accessed()), (7, 3));
            }
            reader
        });
        // The slot lies in a new segment.
        writer.link(2, 20, 7, 3);
        let reader = t.join().unwrap();
        assert_eq!(look(&reader, 2), Some(20));
    });
}

/// Tags 1, 5 and 9 have one home, so unlinking the first moves the others.
#[test]
fn table_shift_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10), (5, 50), (9, 90)]);
        let t = thread::spawn(move || (look(&reader, 9), reader));
        unlink(&mut writer, 1);
        let (seen, reader) = t.join().unwrap();
        assert_eq!(seen, Some(90), "never absent");
        assert_eq!([look(&reader, 1), look(&reader, 5), look(&reader, 9)], [None, Some(50), Some(90)]);
    });
}

#[test]
fn table_shift_and_link_vs_find() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10), (5, 50)]);
        let t = thread::spawn(move || (look(&reader, 5), reader));
        unlink(&mut writer, 1);
        // In the cell that was left.
        writer.link(2, 20, u64::MAX, 0);
        let (seen, reader) = t.join().unwrap();
        assert_eq!(seen, Some(50), "never absent");
        assert_eq!([look(&reader, 5), look(&reader, 2)], [Some(50), Some(20)]);
    });
}

/// Two on one record: one of them may find it taken, and each hit is counted.
#[test]
fn table_find_vs_find() {
    model(|| {
        let records = Records::new(1);
        let (reader, writer) = table_of(&records, &[(1, 10)]);
        let reader = Arc::new(reader);
        let hit = |reader: &Reader<u64>| match reader.find(0, 1, |_| true) {
            Found::Entry(at) => {
                at.count();
                1
            }
            Found::Absent => panic!("it is there"),
            Found::Crowded => 0,
        };
        let theirs = reader.clone();
        let t = thread::spawn(move || hit(&theirs));
        let mine = hit(&reader);
        let both = mine + t.join().unwrap();
        assert!(both >= 1 && both == records.hits());
        drop(writer);
    });
}

/// Two entries share the tag, so the reader looks at the one before it names the other.
#[test]
fn table_find_of_the_second_vs_unlink_of_the_first() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10), (1, 11)]);
        let t = thread::spawn(move || look_for(&reader, 1, |content| *content == 11));
        unlink(&mut writer, 1);
        let out = collect(&mut writer);
        assert!(out.is_empty() || out == [10]);
        writer.link(2, 20, u64::MAX, 0);
        assert_eq!(t.join().unwrap(), Some(11), "never absent");
        collect(&mut writer);
        assert_eq!(writer.retired(), 0);
    });
}

#[test]
fn table_find_of_the_second_vs_unlink_of_both() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10), (1, 11)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 1);
            unlink(&mut writer, 1);
            collect(&mut writer);
        });
        let seen = look_for(&reader, 1, |content| *content == 11);
        assert!(seen.is_none() || seen == Some(11));
        t.join().unwrap();
    });
}

/// A look inside of a look takes another record; both entries stay.
#[test]
fn table_nested_find_vs_unlink() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(2), &[(1, 10), (2, 20)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 1);
            let out = collect(&mut writer);
            unlink(&mut writer, 2);
            out.len() + collect(&mut writer).len() + writer.retired()
        });
        if let Found::Entry(outer) = reader.find(0, 1, |content| *content == 10) {
            let inner = outer.with(|outer| {
                assert_eq!(*outer, 10);
                look(&reader, 2)
            });
            assert!(inner.is_none() || inner == Some(20));
        }
        assert_eq!(t.join().unwrap(), 2, "handed out or still held");
    });
}

/// All records are taken: the reader says so, and waits for nobody.
#[test]
fn table_find_without_a_record_vs_unlink() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10), (2, 20)]);
        let t = thread::spawn(move || {
            unlink(&mut writer, 2);
            collect(&mut writer);
        });
        if let Found::Entry(_at) = reader.find(0, 1, |_| true) {
            assert!(!matches!(reader.find(0, 2, |_| true), Found::Entry(_)));
        }
        t.join().unwrap();
    });
}

/// Marks, times and the clock are hints: any value that was written, and no race.
#[test]
fn table_hit_vs_marks() {
    model(|| {
        let (reader, mut writer) = table_of(&Records::new(1), &[(1, 10)]);
        let at = slot(&writer, 1);
        let t = thread::spawn(move || {
            writer.set_stamp(3);
            writer.set_mark(at, 2);
            writer.touch(at, 4);
            let times = writer.times(at);
            assert!(times == (u64::MAX, 4) || times == (u64::MAX, 5), "{times:?}");
            writer.untouch(at, 4, 3);
            assert!([2, 3].contains(&writer.mark(at)));
            writer
        });
        if let Found::Entry(look) = reader.find(0, 1, |_| true) {
            let stamp = reader.stamp();
            assert!(stamp == 0 || stamp == 3);
            if look.mark() < stamp {
                look.set_mark(stamp);
            }
            look.touch(5);
            assert_eq!(look.accessed(), 5, "nobody brings it back");
        }
        let writer = t.join().unwrap();
        assert_eq!(writer.times(at).1, 5);
    });
}
