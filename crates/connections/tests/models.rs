//! Models of the cores in `raw/`.
#![cfg(ropewalk_loom)]

use ropewalk_connections::raw::{
    shelf::{Place, Places, Shelf, Take},
    whence::Whence,
};
use ropewalk_prove::{Witness, model, sync::Arc, thread};

type Numbers = Shelf<u32>;

/// A shelf with the things 1 to `n`, the last on top.
fn stocked(n: u32) -> (Arc<Numbers>, Places) {
    let (shelf, mut places) = Numbers::new();
    for thing in 1..=n {
        let place = shelf.place(&mut places).unwrap();
        shelf.put(place, thing).unwrap();
    }
    (Arc::new(shelf), places)
}

fn take(shelf: &Numbers) -> Option<(Place, u32)> {
    match shelf.take() {
        Take::Taken(place, thing) => Some((place, thing)),
        Take::Empty | Take::Diverted => None,
    }
}

/// What lies there, the top first.
fn rest(shelf: &Numbers) -> Vec<u32> {
    let mut things = Vec::new();
    shelf.lift(&mut things);
    things.into_iter().map(|(_, thing)| thing).collect()
}

fn sorted(things: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut all: Vec<_> = things.into_iter().collect();
    all.sort_unstable();
    all
}

#[test]
fn shelf_take_vs_take() {
    model(|| {
        let (shelf, _places) = stocked(2);
        let theirs = shelf.clone();
        let t = thread::spawn(move || take(&theirs).map(|(_, thing)| thing));
        let mine = take(&shelf).map(|(_, thing)| thing);
        let all = sorted([mine, t.join().unwrap()].into_iter().flatten());
        assert_eq!((all, shelf.len()), (vec![1, 2], 0), "each thing goes to one");
    });
}

#[test]
fn shelf_take_vs_put() {
    model(|| {
        let (shelf, mut places) = stocked(1);
        let place = shelf.place(&mut places).unwrap();
        let theirs = shelf.clone();
        let t = thread::spawn(move || take(&theirs).map(|(_, thing)| thing));
        assert!(shelf.put(place, 2).is_ok(), "nobody diverts");
        let taken = t.join().unwrap();
        assert_eq!(shelf.len(), 1);
        assert_eq!(sorted(taken.into_iter().chain(rest(&shelf))), [1, 2]);
    });
}

#[test]
fn shelf_take_of_a_new_row_vs_put() {
    model(|| {
        // The thread that puts makes the row; the one that takes learns of it by the word alone.
        let (shelf, mut places) = stocked(0);
        let theirs = shelf.clone();
        let t = thread::spawn(move || take(&theirs).map(|(_, thing)| thing));
        let made: Vec<_> = (0..3).map(|_| shelf.place(&mut places).unwrap()).collect();
        for (thing, place) in (1..).zip(made) {
            shelf.put(place, thing).unwrap();
        }
        let taken = t.join().unwrap();
        assert_eq!(sorted(taken.into_iter().chain(rest(&shelf))), [1, 2, 3]);
    });
}

#[test]
fn shelf_take_vs_take_take_put_put() {
    model(|| {
        // The top that was seen comes back on as many things as before, but on another one.
        let (shelf, mut places) = stocked(2);
        let third = shelf.place(&mut places).unwrap();
        let theirs = shelf.clone();
        let t = thread::spawn(move || take(&theirs).map(|(_, thing)| thing));
        let top = take(&shelf);
        let below = take(&shelf).map(|(_, thing)| thing);
        shelf.put(third, 3).unwrap();
        if let Some((place, thing)) = top {
            shelf.put(place, thing).unwrap();
        }
        let taken = t.join().unwrap();
        assert_eq!(sorted(taken.into_iter().chain(below).chain(rest(&shelf))), [1, 2, 3]);
    });
}

#[test]
fn shelf_take_sees_what_the_putter_did() {
    model(|| {
        let (shelf, mut places) = Shelf::<Arc<Witness>>::new();
        let place = shelf.place(&mut places).unwrap();
        let shelf = Arc::new(shelf);
        let theirs = shelf.clone();
        let t = thread::spawn(move || {
            if let Take::Taken(_, witness) = theirs.take() {
                witness.write();
            }
        });
        let witness = Arc::new(Witness::new());
        witness.write();
        assert!(shelf.put(place, witness).is_ok());
        t.join().unwrap();
    });
}

#[test]
fn shelf_take_from_below_sees_what_its_putter_did() {
    model(|| {
        // The word that the last taker sees was written by another taker.
        let (shelf, mut places) = Shelf::<Arc<Witness>>::new();
        let made: Vec<_> = (0..2).map(|_| shelf.place(&mut places).unwrap()).collect();
        let shelf = Arc::new(shelf);
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let shelf = shelf.clone();
                thread::spawn(move || {
                    if let Take::Taken(_, witness) = shelf.take() {
                        witness.write();
                    }
                })
            })
            .collect();
        for place in made {
            let witness = Arc::new(Witness::new());
            witness.write();
            assert!(shelf.put(place, witness).is_ok());
        }
        takers.into_iter().for_each(|t| t.join().unwrap());
    });
}

#[test]
fn shelf_put_vs_put() {
    model(|| {
        let (shelf, mut places) = stocked(0);
        let (first, second) = (shelf.place(&mut places).unwrap(), shelf.place(&mut places).unwrap());
        let theirs = shelf.clone();
        let t = thread::spawn(move || theirs.put(second, 2).unwrap());
        let mine = shelf.put(first, 1).unwrap();
        assert_eq!(sorted([mine, t.join().unwrap()]), [1, 2], "each counts the one before it");
        assert_eq!(sorted(rest(&shelf)), [1, 2]);
    });
}

#[test]
fn shelf_put_vs_divert_and_take_anyway() {
    model(|| {
        let (shelf, mut places) = stocked(0);
        let place = shelf.place(&mut places).unwrap();
        let theirs = shelf.clone();
        let t = thread::spawn(move || {
            theirs.divert();
            theirs.take_anyway().is_some()
        });
        let put = shelf.put(place, 1).is_ok();
        assert_eq!(put, t.join().unwrap(), "it is seen, or its owner is sent away");
        assert!(shelf.is_diverted() && shelf.is_empty());
    });
}

#[test]
fn shelf_take_vs_divert_and_lift() {
    model(|| {
        let (shelf, _places) = stocked(2);
        let theirs = shelf.clone();
        let t = thread::spawn(move || take(&theirs).map(|(_, thing)| thing));
        shelf.divert();
        let mut lifted = Vec::new();
        shelf.lift(&mut lifted);
        assert_eq!(take(&shelf).map(|(_, thing)| thing), None);
        let things: Vec<_> = lifted.iter().map(|&(_, thing)| thing).collect();
        assert!(things.is_sorted_by(|a, b| a > b), "the top first");
        assert_eq!(sorted(things.into_iter().chain(t.join().unwrap())), [1, 2]);
    });
}

#[test]
fn shelf_take_vs_lift_and_put_anyway() {
    model(|| {
        let (shelf, _places) = stocked(2);
        let theirs = shelf.clone();
        let t = thread::spawn(move || {
            theirs.divert();
            let mut lifted = Vec::new();
            theirs.lift(&mut lifted);
            // Laid back without the top.
            let top = (lifted.len() == 2).then(|| lifted.remove(0).1);
            lifted.into_iter().rev().for_each(|(place, thing)| theirs.put_anyway(place, thing));
            theirs.admit();
            top
        });
        let mine = take(&shelf).map(|(_, thing)| thing);
        let top = t.join().unwrap();
        assert_eq!(sorted(mine.into_iter().chain(top).chain(rest(&shelf))), [1, 2]);
        assert!(!shelf.is_diverted());
    });
}

#[test]
fn shelf_put_sees_what_the_lifter_did() {
    model(|| {
        let (shelf, mut places) = stocked(1);
        let place = shelf.place(&mut places).unwrap();
        let note = Arc::new(Witness::new());
        let (theirs, their_note) = (shelf.clone(), note.clone());
        let t = thread::spawn(move || {
            their_note.write();
            theirs.lift(&mut Vec::new());
        });
        if shelf.put(place, 2) == Ok(1) {
            // It lies alone, so the lift was before.
            note.read();
        }
        t.join().unwrap();
    });
}

#[test]
fn shelf_lift_vs_lift() {
    model(|| {
        let (shelf, _places) = stocked(2);
        let theirs = shelf.clone();
        let t = thread::spawn(move || rest(&theirs));
        let mine = rest(&shelf);
        let other = t.join().unwrap();
        assert!(mine.is_empty() != other.is_empty(), "one gets all");
        assert_eq!(sorted(mine.into_iter().chain(other)), [1, 2]);
    });
}

#[test]
fn shelf_len_vs_put_and_take() {
    model(|| {
        let (shelf, _places) = stocked(1);
        let theirs = shelf.clone();
        let t = thread::spawn(move || (theirs.len(), theirs.is_empty(), theirs.is_diverted()));
        if let Some((place, thing)) = take(&shelf) {
            shelf.put(place, thing).unwrap();
        }
        let (len, _, is_diverted) = t.join().unwrap();
        assert!(len <= 1 && !is_diverted);
        assert!(!shelf.is_empty());
    });
}

#[test]
fn shelf_labels_vs_take_and_label() {
    model(|| {
        let (shelf, mut places) = Shelf::<(), Whence<u32>>::new();
        let place = shelf.place(&mut places).unwrap();
        assert!(shelf.put(place, ()).is_ok());
        let shelf = Arc::new(shelf);
        let theirs = shelf.clone();
        let t = thread::spawn(move || theirs.labels(&places).map(Whence::get).collect::<Vec<_>>());
        if let Take::Taken(place, ()) = shelf.take() {
            shelf.label(&place).set(&7);
        }
        let seen = t.join().unwrap();
        assert!(seen == [None] || seen == [Some(&7)]);
    });
}

#[test]
fn whence_set_vs_get() {
    model(|| {
        let whence = Arc::new(Whence::new());
        let theirs = whence.clone();
        let t = thread::spawn(move || {
            if let Some(made) = theirs.get() {
                let made: &'static Witness = made;
                made.read();
            }
        });
        let made: &'static Witness = Box::leak(Box::new(Witness::new()));
        made.write();
        whence.set(made);
        t.join().unwrap();
        assert!(whence.get().is_some());
    });
}

#[path = "models/progress.rs"]
mod progress;
