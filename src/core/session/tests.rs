use super::*;
use crate::clock::Mono;
use crate::limits::{
    MAX_BATCHES_UNDER_WAY, MAX_OUTBOX_BYTES, MAX_OUTBOX_MESSAGES, MAX_PARCELS, MAX_SESSIONS, PARCELS_BYTES,
};
use crate::prng::Prng;
use std::collections::BTreeMap;
use std::time::Duration;

fn name(key: &str) -> ActorId {
    ActorId::new("sink", key).unwrap()
}

fn sender() -> Sender {
    Sender::Actor { id: name("source"), life: 3 }
}

fn saved<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    crate::wire::decode(&crate::wire::encode(value)).unwrap()
}

fn content(payload: Vec<u8>) -> Content<'static> {
    Content { name: "m", payload, is_ask: false }
}

fn push(outbox: &mut Outbox, to: &ActorId, stamp: u64) -> u64 {
    outbox.push(to, || Some(7), content(vec![1]), stamp).unwrap()
}

fn delivery(job: Option<Job>) -> Vec<(u64, u64)> {
    match job {
        Some(Job::Deliver(batch)) => batch.items.iter().map(|p| (p.seq, p.after)).collect(),
        other => panic!("no delivery but {other:?}"),
    }
}

#[test]
fn a_message_leaves_when_the_checkpoint_that_holds_it_is_durable_and_is_kept_until_it_has_arrived() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    push(&mut outbox, &b, 1);
    push(&mut outbox, &b, 2);
    assert_eq!(outbox.next(0), None);
    assert_eq!(delivery(outbox.next(1)), [(1, 0)]);
    outbox.delivered(&b, 1, 1, Mono(1));
    assert_eq!(delivery(outbox.next(2)), [(2, 1)], "the first is named as long as the lane lasts");
    outbox.failed(&b, 1, Mono(10), |failures| Duration::from_nanos(5 << failures));
    outbox.wake(Mono(14));
    assert_eq!(outbox.next(2), None);
    assert_eq!(outbox.wakes_at(), Some(Mono(15)));
    outbox.wake(Mono(15));
    assert_eq!(delivery(outbox.next(2)), [(2, 1)]);
    outbox.delivered(&b, 1, 2, Mono(16));
    assert!(outbox.is_empty());
    push(&mut outbox, &b, 2);
    assert_eq!(delivery(outbox.next(2)), [(3, 0)], "all before it has arrived");
}

#[test]
fn what_a_checkpoint_held_may_leave_at_once_and_lanes_do_not_wait_for_each_other() {
    let mut outbox = Outbox::default();
    for _ in 0..2 {
        push(&mut outbox, &name("b"), 9);
        push(&mut outbox, &name("c"), 9);
    }
    let mut again = saved(&outbox).restored();
    assert_eq!(again.len(), 4);
    assert_eq!(delivery(again.next(0)), [(1, 0), (3, 1)]);
    assert_eq!(delivery(again.next(0)), [(2, 0), (4, 2)]);
    assert_eq!(again.next(0), None);
    again.delivered(&name("b"), 1, 3, Mono(1));
    again.delivered(&name("c"), 2, 4, Mono(1));
    assert!(again.is_empty());
    assert_eq!(push(&mut again, &name("b"), 1), 5, "no number is given out twice");
}

#[test]
fn a_target_that_nobody_knows_is_looked_for_and_its_life_is_saved_before_anything_leaves() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    outbox.push(&b, || None, content(vec![]), 1).unwrap();
    assert_eq!(outbox.next(1), Some(Job::Resolve { to: b.clone(), lane: 1 }));
    assert_eq!(outbox.next(1), None);
    outbox.bind(&b, 1, 40, 2, Mono(1));
    assert_eq!(outbox.next(1), None, "a restored sender could take another life for the target's");
    let Some(Job::Deliver(batch)) = outbox.next(2) else { panic!("nothing leaves") };
    assert_eq!(batch.life, 40);
    assert_eq!(outbox.over(&b, 9), 0, "an older lane's job");
    assert_eq!(outbox.over(&b, 1), 1);
    assert!(outbox.is_empty());
}

/// The numbers of the first and the last message of each batch that may leave now.
fn batches(outbox: &mut Outbox) -> Vec<(u64, u64)> {
    let ends = |job| match job {
        Job::Deliver(batch) => (batch.items[0].seq, batch.items.last().unwrap().seq),
        Job::Resolve { .. } => panic!("its life is known"),
    };
    std::iter::from_fn(|| outbox.next(u64::MAX)).map(ends).collect()
}

#[test]
fn some_batches_are_under_way_at_once_and_are_all_brought_again_when_one_comes_to_nothing() {
    let (mut outbox, b, most) = (Outbox::default(), name("b"), MAX_BATCHES_UNDER_WAY as u64);
    let full = MAX_PARCELS as u64;
    for _ in 0..full * (most + 2) {
        push(&mut outbox, &b, 1);
    }
    let of = |n: u64| (n * full + 1, (n + 1) * full);
    assert_eq!(batches(&mut outbox), (0..most).map(of).collect::<Vec<_>>());
    outbox.delivered(&b, 1, full, Mono(1));
    assert_eq!(batches(&mut outbox), [of(most)], "one more for one that has arrived");
    let pause = |_| Duration::from_nanos(5);
    outbox.failed(&b, 1, Mono(10), pause);
    outbox.delivered(&b, 1, full * 2, Mono(11));
    for _ in 0..most - 2 {
        push(&mut outbox, &b, 1);
        assert_eq!(batches(&mut outbox), [], "not before all have ended");
        outbox.failed(&b, 1, Mono(12), pause);
    }
    assert_eq!((outbox.wakes_at(), batches(&mut outbox)), (Some(Mono(17)), vec![]));
    push(&mut outbox, &b, 1);
    assert_eq!(batches(&mut outbox), [], "it rests");
    outbox.wake(Mono(17));
    assert_eq!(batches(&mut outbox)[0], of(2));
}

#[test]
fn pauses_grow_from_failure_to_failure_until_something_arrives() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    push(&mut outbox, &b, 1);
    push(&mut outbox, &b, 2);
    let paused = |outbox: &mut Outbox, durable| {
        assert!(outbox.next(durable).is_some());
        outbox.failed(&b, 1, Mono(0), |failures| Duration::from_nanos(5 << failures));
        let until = outbox.wakes_at();
        outbox.wake(Mono(100));
        until
    };
    assert_eq!([5, 10, 20].map(Mono), [1, 1, 1].map(|durable| paused(&mut outbox, durable).unwrap()));
    assert!(outbox.next(1).is_some());
    outbox.delivered(&name("b"), 1, 1, Mono(0));
    assert_eq!(paused(&mut outbox, 2), Some(Mono(5)));
}

#[test]
fn what_becomes_of_the_jobs_of_an_older_lane_changes_nothing() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    push(&mut outbox, &b, 1);
    outbox.next(1);
    assert_eq!(outbox.over(&b, 1), 1);
    push(&mut outbox, &b, 1);
    outbox.next(1);
    outbox.failed(&b, 2, Mono(1), |_| Duration::from_nanos(1));
    outbox.wake(Mono(9));
    outbox.next(1);
    let before = outbox.clone();
    outbox.delivered(&b, 1, 1, Mono(10));
    outbox.failed(&b, 1, Mono(10), |_| Duration::from_nanos(1));
    outbox.bind(&b, 1, 77, 1, Mono(10));
    assert_eq!((outbox.over(&b, 1), &outbox), (0, &before));
}

#[test]
fn a_target_stays_in_the_life_that_it_was_found_in() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    outbox.push(&b, || None, content(vec![]), 1).unwrap();
    outbox.next(1);
    outbox.bind(&b, 1, 40, 1, Mono(1));
    outbox.bind(&b, 1, 41, 1, Mono(1));
    let mut again = saved(&outbox).restored();
    for outbox in [&mut outbox, &mut again] {
        let Some(Job::Deliver(batch)) = outbox.next(1) else { panic!("nothing leaves") };
        assert_eq!(batch.life, 40, "what was meant for one life is not for another");
    }
}

#[test]
fn a_session_goes_on_at_its_number() {
    assert_eq!([1, 5].map(|first| push(&mut Outbox::beginning_at(first), &name("b"), 1)), [1, 5]);
}

#[test]
fn messages_whose_replies_are_wanted_are_under_way_alone() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    let ask = |outbox: &mut Outbox| {
        let content = Content { name: "m", payload: vec![], is_ask: true };
        outbox.push(&b, || Some(7), content, 1).unwrap();
    };
    push(&mut outbox, &b, 1);
    assert_eq!(batches(&mut outbox), [(1, 1)]);
    ask(&mut outbox);
    assert_eq!(batches(&mut outbox), []);
    outbox.delivered(&b, 1, 1, Mono(1));
    assert_eq!(batches(&mut outbox), [(2, 2)]);
    push(&mut outbox, &b, 1);
    assert_eq!(batches(&mut outbox), []);
    outbox.delivered(&b, 1, 2, Mono(2));
    assert_eq!(batches(&mut outbox), [(3, 3)]);
}

#[test]
fn an_outbox_is_bounded() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    for n in 0..MAX_OUTBOX_MESSAGES {
        assert_eq!(outbox.is_heavy(), n >= MAX_OUTBOX_MESSAGES / 2);
        push(&mut outbox, &b, 1);
    }
    assert_eq!(outbox.push(&b, || Some(7), content(vec![]), 1), None);
    outbox.next(1);
    outbox.delivered(&b, 1, 1, Mono(1));
    assert!(outbox.push(&b, || Some(7), content(vec![]), 1).is_some());
}

#[test]
fn an_outbox_is_bounded_in_bytes_also_when_it_was_restored_and_what_is_gone_makes_room() {
    const MIB: usize = 1 << 20;
    let b = name("b");
    // How many large ones an outbox takes, and whether it was heavy from the half on.
    let fill = |outbox: &mut Outbox| {
        let mut heavy = vec![];
        while outbox.push(&b, || Some(7), content(vec![0; MIB]), 1).is_some() {
            heavy.push(outbox.is_heavy());
        }
        (heavy.len(), heavy.iter().position(|is| *is))
    };
    let (most, half) = (MAX_OUTBOX_BYTES / MIB, MAX_OUTBOX_BYTES / MIB / 2);
    let mut outbox = Outbox::default();
    assert_eq!(fill(&mut outbox), (most, Some(half - 1)));
    let mut outbox = saved(&outbox).restored();
    assert_eq!((fill(&mut outbox), outbox.len()), ((0, None), most));
    outbox.next(1);
    outbox.delivered(&b, 1, 3, Mono(1));
    assert_eq!((fill(&mut outbox).0, outbox.len()), (3, most));
    assert_eq!((outbox.over(&b, 1), outbox.len()), (most as u64, 0));
    assert_eq!(fill(&mut outbox), (most, Some(half - 1)));
}

#[test]
fn a_batch_is_bounded_in_bytes_but_for_a_message_that_is_larger_by_itself() {
    let (mut outbox, b) = (Outbox::default(), name("b"));
    for bytes in [PARCELS_BYTES / 3, PARCELS_BYTES / 3, PARCELS_BYTES / 2, 2 * PARCELS_BYTES, 1] {
        outbox.push(&b, || Some(7), content(vec![0; bytes]), 1).unwrap();
    }
    assert_eq!(batches(&mut outbox), [(1, 2), (3, 3), (4, 4), (5, 5)]);
}

#[test]
fn a_message_is_taken_once_and_none_before_the_one_that_it_follows() {
    let mut inbox = Inbox::default();
    let parcel =
        |seq, after| Parcel { seq, after, message: "m".into(), payload: ByteBuf::new(), is_ask: false };
    assert_eq!(inbox.judge(&sender(), &parcel(4, 2)), Verdict::Early);
    assert_eq!(inbox.judge(&sender(), &parcel(4, 0)), Verdict::Next);
    inbox.take(&sender(), 4);
    assert_eq!(inbox.judge(&sender(), &parcel(4, 0)), Verdict::Known);
    assert_eq!(inbox.judge(&sender(), &parcel(3, 0)), Verdict::Known);
    assert_eq!(inbox.judge(&sender(), &parcel(9, 4)), Verdict::Next);
    inbox.take(&sender(), 2);
    assert_eq!(inbox.judge(&sender(), &parcel(4, 0)), Verdict::Known, "nothing makes it forget");
    let another = Sender::Actor { id: name("source"), life: 8 };
    assert_eq!(inbox.judge(&another, &parcel(1, 0)), Verdict::Next);
    inbox.take(&another, 1);
    inbox.sweep(|s| *s == sender());
    assert!(inbox.knows(&another) && !inbox.knows(&sender()));
}

#[test]
fn a_reply_is_there_for_who_asks_again_until_its_sender_has_it() {
    let mut inbox = Inbox::default();
    let reply = |n: u64| Ok(ByteBuf::from(vec![n as u8]));
    for n in 1..=4 {
        inbox.take(&sender(), n);
        inbox.remember(&sender(), n, reply(n));
    }
    inbox.answered(&sender(), 2);
    let again = saved(&inbox);
    assert_eq!(again.replies(&sender(), 0), BTreeMap::from([(3, reply(3)), (4, reply(4))]));
    assert_eq!(again.replies(&sender(), 4), BTreeMap::from([(4, reply(4))]));
}

#[test]
fn a_session_table_is_bounded() {
    let mut inbox = Inbox::default();
    for session in 0..MAX_SESSIONS as u64 {
        assert!(!inbox.is_full());
        inbox.take(&Sender::Client(session), 1);
    }
    assert!(inbox.is_full());
}

/// One sender and one receiver, each with its checkpoints, and a network that loses, repeats and delays.
struct World {
    draw: Prng,
    now: Mono,
    outbox: Outbox,
    handled: u64,
    durable: u64,
    saved_sender: Outbox,
    /// What was sent, by number: as the sender's present history, and its durable one, have it.
    sent: Vec<(u64, u64)>,
    saved_sent: Vec<(u64, u64)>,
    inbox: Inbox,
    taken: Vec<u64>,
    saved_receiver: (Inbox, Vec<u64>),
    network: Vec<(u64, Batch)>,
    /// Jobs that have not ended for the sender: each does once, whatever becomes of its batch. And their lanes.
    open: BTreeMap<u64, u64>,
    jobs: u64,
    /// Batches that were taken, and are not durable yet: whose job, up to which message.
    owed: Vec<(u64, u64)>,
}

impl World {
    fn new(seed: u64) -> Self {
        World {
            draw: Prng::new(seed),
            now: Mono(0),
            outbox: Outbox::default(),
            handled: 0,
            durable: 0,
            saved_sender: Outbox::default(),
            sent: vec![],
            saved_sent: vec![],
            inbox: Inbox::default(),
            taken: vec![],
            saved_receiver: (Inbox::default(), vec![]),
            network: vec![],
            open: BTreeMap::new(),
            jobs: 0,
            owed: vec![],
        }
    }

    fn produce(&mut self) {
        self.handled += 1;
        for _ in 0..self.draw.below(3) {
            // Never the same after a restore: only what is durable may have left.
            let value = self.draw.any();
            let payload = value.to_le_bytes().to_vec();
            let seq = self.outbox.push(&name("b"), || Some(7), content(payload), self.handled).unwrap();
            self.sent.push((seq, value));
        }
    }

    fn save_sender(&mut self) {
        self.saved_sender = saved(&self.outbox);
        self.saved_sent = self.sent.clone();
        self.durable = self.handled;
    }

    fn crash_sender(&mut self) {
        self.outbox = saved(&self.saved_sender).restored();
        self.sent = self.saved_sent.clone();
        self.handled = self.durable;
        self.open.clear();
    }

    fn pump(&mut self) {
        self.outbox.wake(self.now);
        while let Some(Job::Deliver(batch)) = self.outbox.next(self.durable) {
            self.jobs += 1;
            self.open.insert(self.jobs, batch.lane);
            let lost = self.draw.chance(20);
            if lost || self.draw.chance(20) {
                self.fail(self.jobs);
            }
            if !lost {
                self.network.push((self.jobs, batch));
            }
        }
    }

    /// Any batch that is under way arrives, and may arrive again.
    fn arrive(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = self.draw.below(self.network.len() as u64) as usize;
        let (job, batch) =
            if self.draw.chance(30) { self.network[at].clone() } else { self.network.remove(at) };
        let mut last = 0;
        for parcel in &batch.items {
            match self.inbox.judge(&sender(), parcel) {
                Verdict::Known => {}
                Verdict::Early => return self.fail(job),
                Verdict::Next => {
                    self.inbox.take(&sender(), parcel.seq);
                    self.taken.push(u64::from_le_bytes(parcel.payload[..].try_into().unwrap()));
                }
            }
            last = parcel.seq;
        }
        self.owed.push((job, last));
    }

    fn save_receiver(&mut self) {
        self.saved_receiver = (saved(&self.inbox), self.taken.clone());
        for (job, up_to) in std::mem::take(&mut self.owed) {
            if self.draw.chance(20) {
                self.fail(job);
            } else if let Some(lane) = self.open.remove(&job) {
                self.outbox.delivered(&name("b"), lane, up_to, self.now);
            }
        }
    }

    /// The sender does not hear of a batch in time.
    fn fail(&mut self, job: u64) {
        if let Some(lane) = self.open.remove(&job) {
            self.outbox.failed(&name("b"), lane, self.now, |_| Duration::from_nanos(3));
        }
    }

    fn crash_receiver(&mut self) {
        (self.inbox, self.taken) = self.saved_receiver.clone();
        for (job, _) in std::mem::take(&mut self.owed) {
            self.fail(job);
        }
    }

    fn step(&mut self) {
        self.now = Mono(self.now.0 + 1);
        match self.draw.below(100) {
            0..30 => self.produce(),
            30..45 => self.save_sender(),
            45..65 => self.pump(),
            65..85 => self.arrive(),
            85..93 => self.save_receiver(),
            93..96 => self.crash_sender(),
            _ => self.crash_receiver(),
        }
    }

    /// Nothing is lost any more.
    fn heal(&mut self) {
        self.save_sender();
        self.crash_sender();
        for _ in 0..1000 {
            self.now = Mono(self.now.0 + 10);
            self.pump();
            self.arrive();
            self.save_receiver();
            if self.outbox.is_empty() {
                return;
            }
        }
        panic!("the outbox is not empty after all that");
    }
}

#[test]
fn every_durable_message_takes_effect_once_and_in_order_across_crashes_of_both() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        for _ in 0..300 {
            world.step();
            assert!(world.taken.len() <= world.saved_sent.len(), "seed {seed}: more than was durable");
        }
        world.heal();
        let sent: Vec<u64> = world.saved_sent.iter().map(|(_, value)| *value).collect();
        assert_eq!(world.saved_receiver.1, sent, "seed {seed}");
    }
}
