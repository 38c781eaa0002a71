//! How each command changes the state. Deterministic: every peer gets the same result.

use std::collections::BTreeSet;

use super::command::{Admission, Admit, Checkpoint, Command, Commit, Create, Held, Refused, Response};
use super::disks::Disks;
use super::event::Event;
use super::line::Line;
use super::state::{Actor, Member, Session, State, Status};
use crate::canary::{Mistake, made};
use crate::id::{ActorId, Epoch, Incarnation, NodeId, RaftId};
use crate::limits::{MAX_BATCH_ITEMS, MAX_CLIENT_SESSIONS, MAX_DIRECTORY_BYTES, MAX_MEMBERS};

/// Where an entry stands in the log.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub index: u64,
    pub term: u64,
}

/// What a peer must look at again after applying entries.
#[derive(Debug, Default)]
pub struct Changes {
    pub events: Vec<Event>,
    /// Actors whose line changed or went away, but for those in `saved`.
    pub actors: BTreeSet<ActorId>,
    /// Actors that have a newer checkpoint, and nothing else that is new. There are many, and few who care.
    pub saved: Vec<Saved>,
    /// Whether the member table changed.
    pub members: bool,
}

/// An actor that has a newer checkpoint.
#[derive(Debug)]
pub struct Saved {
    pub actor: ActorId,
    /// What it had before, and what it has now: the epoch that wrote it, and where its copies are.
    pub before: (Epoch, Checkpoint),
    pub now: (Epoch, Checkpoint),
}

impl State {
    /// Applies one committed entry.
    pub fn apply(&mut self, at: At, command: &Command, changes: &mut Changes) -> Response {
        let result = match command {
            Command::Found { cluster_id, settings } => self.found(*cluster_id, settings, changes),
            Command::Admit(admit) => self.admit(at, admit, changes),
            Command::MarkDown { node, incarnation, term, silent_ms } => {
                let (incarnation, silent_ms) = (*incarnation, *silent_ms);
                let event = Event::PeerDown { node: node.clone(), incarnation, silent_ms };
                self.mark(at, (node, incarnation, *term), (Status::Up, Status::Down), event, changes)
            }
            Command::MarkUp { node, incarnation, term } => {
                let incarnation = *incarnation;
                let event = Event::PeerUp { node: node.clone(), incarnation };
                self.mark(at, (node, incarnation, *term), (Status::Down, Status::Up), event, changes)
            }
            Command::Leave { node, incarnation } => self.leave(at, node, *incarnation, changes),
            Command::TakeOver { node, incarnation, term, away_ms } => {
                self.stand_in(at, (node, *incarnation, *term), *away_ms, changes)
            }
            Command::HandOver { by, items } => self.hand_over(at, *by, items, changes),
            Command::Create { by, items } => self.create(at, *by, items, changes),
            Command::Commit { by, items } => self.commit(at, *by, items, changes),
            Command::Restart { by, actor, epoch, gives_up } => {
                self.restart(at, *by, (actor, *epoch), *gives_up, changes)
            }
            Command::Revive { actor, life } => self.revive(at, actor, *life, changes),
            Command::Stop { actor, life, by } => self.stop(actor, *life, *by, changes),
            Command::OpenSession { by, nonce, resume } => self.open_session(at, *by, *nonce, *resume),
            Command::CloseSessions { sessions } => {
                self.sessions.retain(|number, _| !sessions.contains(number));
                Ok(Response::Done)
            }
            Command::AddHolders { items, repair } => self.add_holders(at, items, *repair, changes),
            Command::DropHolders { items } => self.drop_holders(items, changes),
        };
        result.unwrap_or_else(Response::Refused)
    }

    fn found(
        &mut self,
        cluster_id: crate::id::ClusterId,
        settings: &super::command::Settings,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        if self.cluster.is_some() {
            return Err(Refused::Founded);
        }
        self.cluster = Some((cluster_id, settings.clone()));
        changes.members = true;
        Ok(Response::Done)
    }

    fn admit(&mut self, at: At, admit: &Admit, changes: &mut Changes) -> Result<Response, Refused> {
        let old = self.members.get(&admit.node);
        if let Some(m) = old.filter(|m| m.nonce == admit.nonce) {
            return Ok(Response::Admitted(Admission { incarnation: m.incarnation, raft_id: m.raft_id }));
        }
        // Invariant 2: the leader saw *this* old lease end, in *this* term. Anything else is stale.
        if admit.term != at.term {
            return Err(Refused::OtherTerm);
        }
        if old.map(|m| m.incarnation) != admit.replaces {
            return Err(Refused::NewerIncarnation);
        }
        if old.is_none() && self.members.len() >= MAX_MEMBERS {
            return Err(Refused::TooManyMembers);
        }
        let old = old.cloned();
        let incarnation = Incarnation(at.index);
        let raft_id = self.disk_for(at, admit.raft_id, old.as_ref())?;
        let node = admit.node.clone();
        let silent_ms = admit.silent_ms;
        self.members.insert(
            node.clone(),
            Member {
                incarnation,
                raft_id,
                addr: admit.addr,
                standing: Status::Up,
                kinds: admit.kinds.clone(),
                labels: admit.labels.clone(),
                nonce: admit.nonce,
                silent_ms,
            },
        );
        changes.members = true;
        if let Some(retired) = old.as_ref().filter(|m| m.raft_id != raft_id) {
            self.strike(retired.raft_id, changes);
        }
        if let Some(retired) = &old {
            self.inherit(retired.incarnation, &node, at, changes);
        }
        self.come_home(&node, at, changes);
        changes.events.push(match old {
            Some(m) if m.standing != Status::Left => {
                let fresh_disk = m.raft_id != raft_id;
                Event::PeerReplaced { node, old: m.incarnation, new: incarnation, fresh_disk, silent_ms }
            }
            _ => Event::PeerUp { node, incarnation },
        });
        Ok(Response::Admitted(Admission { incarnation, raft_id }))
    }

    /// Invariant 2: an id that a disk brings is kept only if it is the node's own; any other is new.
    fn disk_for(&self, at: At, brought: Option<RaftId>, old: Option<&Member>) -> Result<RaftId, Refused> {
        if !self.members.is_empty() {
            let kept = brought.filter(|id| old.is_some_and(|m| m.raft_id == *id));
            let reused = old.filter(|_| made(Mistake::DiskIdReused)).map(|m| m.raft_id);
            return Ok(kept.or(reused).unwrap_or(RaftId(at.index)));
        }
        // The founder's disk is Raft's member 0, initialized before any entry could name it. It is
        // admitted first, or its id, and with it the only log, would go to whoever asks first.
        let founder = brought.filter(|id| *id == RaftId(0) && self.cluster.is_some());
        founder.ok_or(Refused::NotFounded)
    }

    pub(super) fn drop_actors(&mut self, changes: &mut Changes, which: impl Fn(&Line<'_>) -> bool) {
        let dropped: Vec<ActorId> = self.actors.iter().filter(which).map(|line| line.id()).collect();
        for id in dropped {
            self.actors.remove(&id);
            changes.actors.insert(id);
        }
    }

    /// A retired disk holds nothing any more, whatever may still be written on it.
    fn strike(&mut self, disk: RaftId, changes: &mut Changes) {
        let held = |line: &Line<'_>| line.copies().1.any(|holder| holder == disk);
        let held: Vec<ActorId> = self.actors.iter().filter(held).map(|line| line.id()).collect();
        for id in held {
            self.actors.update(&id, |actor| {
                if actor.holders_mut().is_some_and(|holders| holders.remove(disk)) {
                    note_if_lost(&id, actor, changes);
                }
            });
            changes.actors.insert(id);
        }
    }

    fn mark(
        &mut self,
        at: At,
        (node, incarnation, term): (&NodeId, Incarnation, u64),
        (from, to): (Status, Status),
        event: Event,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        if term != at.term {
            return Err(Refused::OtherTerm);
        }
        let member = self.members.get_mut(node).filter(|m| m.incarnation == incarnation);
        let member = member.ok_or(Refused::NoSuchMember)?;
        if member.standing == from {
            member.standing = to;
            if let Event::PeerDown { silent_ms, .. } = &event {
                member.silent_ms = *silent_ms;
                // It runs nothing before it has applied that it is up again, and so this.
                self.drop_actors(changes, |a| a.stopping() && a.host == Some(incarnation));
            }
            changes.members = true;
            changes.events.push(event);
            match to {
                Status::Up => self.come_home(node, at, changes),
                _ => self.take_over(node, 0, at, changes),
            }
        }
        Ok(Response::Done)
    }

    fn leave(
        &mut self,
        at: At,
        node: &NodeId,
        incarnation: Incarnation,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let member = self.members.get_mut(node).filter(|m| m.incarnation == incarnation);
        let member = member.ok_or(Refused::NoSuchMember)?;
        if member.standing != Status::Left {
            member.standing = Status::Left;
            changes.members = true;
            changes.events.push(Event::PeerLeft { node: node.clone() });
            self.drop_actors(changes, |a| a.host == Some(incarnation) && (a.is_unborn() || a.stopping()));
            self.take_over(node, 0, at, changes);
            let waits = |host: Option<Incarnation>| host == Some(incarnation);
            // Whoever was moved away from here returns when this node does.
            let changed = |a: &Line<'_>| waits(a.host) || (a.by_hand() && a.home == node.as_str());
            let changed: Vec<ActorId> = self.actors.iter().filter(changed).map(|line| line.id()).collect();
            for id in changed {
                self.actors.update(&id, |actor| {
                    actor.host = actor.host.filter(|host| !waits(Some(*host)));
                    actor.by_hand = false;
                });
                changes.actors.insert(id);
            }
        }
        Ok(Response::Done)
    }

    fn create(
        &mut self,
        at: At,
        by: Incarnation,
        items: &[Create],
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let (home, member) = self.member_of(by).ok_or(Refused::NewerIncarnation)?;
        if member.standing == Status::Left {
            return Err(Refused::NoSuchMember);
        }
        let home = home.clone();
        let mut answers = Vec::with_capacity(items.len().min(MAX_BATCH_ITEMS));
        for Create { actor, nonce, stand_in_ms } in items {
            answers.push(match self.actors.get(actor) {
                Some(a) if a.nonce == *nonce && a.host == Some(by) => Ok(a.epoch),
                Some(a) if a.checkpoint.is_some() => Err(Refused::AlreadyExists),
                None if self.actors.bytes() >= MAX_DIRECTORY_BYTES => Err(Refused::TooManyActors),
                // Without a checkpoint it never was there for anybody: who began may never end.
                _ => {
                    changes.actors.insert(actor.clone());
                    let line = Actor::new(home.clone(), by, at.index, *nonce, *stand_in_ms);
                    self.actors.insert(actor, &line);
                    Ok(line.epoch)
                }
            });
        }
        Ok(Response::Items(answers))
    }

    fn commit(
        &mut self,
        at: At,
        by: Incarnation,
        items: &[Commit],
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let (_, host) = self.member_of(by).ok_or(Refused::NewerIncarnation)?;
        let own_disk = host.raft_id;
        let current: BTreeSet<RaftId> = self.members.values().map(|m| m.raft_id).collect();
        // Nobody else may be living for a moment: a majority of processes is up, not yet admitted again. What would be
        // acknowledged then must survive this disk all the same.
        let least = u8::from(self.members.len() > 1);
        let mut answers = Vec::with_capacity(items.len().min(MAX_BATCH_ITEMS));
        for Commit { actor, epoch, checkpoint, required } in items {
            let (epoch, mut checkpoint) = (*epoch, checkpoint.clone());
            let required = (*required).max(least.min(checkpoint.copies));
            // A copy on a disk that was retired while this entry was under way does not count.
            checkpoint.holders.retain(|disk| current.contains(&disk));
            let others = checkpoint.holders.iter().filter(|disk| *disk != own_disk).count();
            // One that nobody holds could not even be called lost.
            let enough = others >= usize::from(required) || made(Mistake::TooFewCopiesAccepted);
            let enough = enough && !checkpoint.holders.is_empty();
            let committed = self.actors.save(actor, (epoch, &checkpoint), at.index, |line| {
                may_commit(&line, by, epoch, &checkpoint, enough)
            });
            let committed = committed.unwrap_or(Err(Refused::NoSuchActor));
            answers.push(committed.as_ref().map(|_| epoch).map_err(|refused| *refused));
            match committed {
                Ok(Some(Replaced { checkpoint: Some(before), was_lost: false })) => {
                    changes.saved.push(Saved { actor: actor.clone(), before, now: (epoch, checkpoint) });
                }
                // Its first one, one again, or none: somebody may have to act.
                _ => drop(changes.actors.insert(actor.clone())),
            }
        }
        Ok(Response::Items(answers))
    }

    fn restart(
        &mut self,
        at: At,
        by: Incarnation,
        (id, epoch): (&ActorId, Epoch),
        gives_up: bool,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let mut actor = self.actors.get(id).ok_or(Refused::NoSuchActor)?;
        if actor.host != Some(by) || actor.epoch != epoch {
            return Err(Refused::StaleEpoch);
        }
        if !made(Mistake::RestartUnderSameEpoch) {
            actor.epoch = Epoch(at.index);
            actor.whole = false;
        }
        if gives_up {
            actor.failed = true;
            changes.events.push(Event::ActorFailed { actor: id.clone() });
        }
        self.actors.insert(id, &actor);
        changes.actors.insert(id.clone());
        Ok(Response::Done)
    }

    fn revive(
        &mut self,
        at: At,
        id: &ActorId,
        life: u64,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let mut actor = self.actors.get(id).filter(|a| a.life == life).ok_or(Refused::NoSuchActor)?;
        if std::mem::take(&mut actor.failed) {
            actor.epoch = Epoch(at.index);
            self.actors.insert(id, &actor);
            changes.actors.insert(id.clone());
        }
        Ok(Response::Done)
    }

    fn stop(
        &mut self,
        id: &ActorId,
        life: u64,
        by: Option<Incarnation>,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let actor = self.actors.line(id).filter(|a| a.life == life).ok_or(Refused::NoSuchActor)?;
        let may_run =
            !actor.is_unborn() && actor.host != by && actor.host.is_some_and(|host| self.is_up(host));
        if may_run && !made(Mistake::NameFreedEarly) {
            self.actors.update(id, |actor| actor.stopping = true);
        } else {
            self.actors.remove(id);
        }
        changes.actors.insert(id.clone());
        Ok(Response::Done)
    }

    fn open_session(
        &mut self,
        at: At,
        by: Incarnation,
        nonce: u128,
        resume: Option<u64>,
    ) -> Result<Response, Refused> {
        let (_, member) = self.member_of(by).ok_or(Refused::NewerIncarnation)?;
        if member.standing == Status::Left {
            return Err(Refused::NoSuchMember);
        }
        let again = self.sessions.iter().find(|(_, s)| s.nonce == nonce).map(|(number, _)| *number);
        let number = match (again, resume) {
            (Some(number), _) => number,
            (None, Some(number)) if !self.sessions.contains_key(&number) => {
                return Err(Refused::NoSuchSession);
            }
            (None, Some(number)) => number,
            (None, None) if self.sessions.len() >= MAX_CLIENT_SESSIONS => {
                return Err(Refused::TooManySessions);
            }
            (None, None) => at.index,
        };
        self.sessions.insert(number, Session { by, nonce });
        Ok(Response::Session(number))
    }

    fn add_holders(
        &mut self,
        at: At,
        items: &[Held],
        repair: bool,
        changes: &mut Changes,
    ) -> Result<Response, Refused> {
        let current: BTreeSet<RaftId> = self.members.values().map(|m| m.raft_id).collect();
        let mut count = 0;
        for held in items.iter().filter(|held| current.contains(&held.holder)) {
            let Some(mut actor) = self.line_of(held) else { continue };
            if !actor.holders_mut().is_some_and(|holders| holders.insert(held.holder)) {
                continue;
            }
            count += 1;
            if std::mem::take(&mut actor.lost) {
                // A disk came back with the state that was thought lost: a new activation.
                actor.epoch = Epoch(at.index);
                actor.whole = false;
            }
            self.actors.insert(&held.actor, &actor);
            changes.actors.insert(held.actor.clone());
        }
        if repair && count > 0 {
            changes.events.push(Event::CopiesRepaired { count });
        }
        Ok(Response::Done)
    }

    /// The line that a copy belongs to, if it is a copy of the newest checkpoint.
    fn line_of(&self, held: &Held) -> Option<Actor> {
        let newest = |a: &Actor| {
            a.checkpoint.as_ref().is_some_and(|(epoch, c)| (*epoch, c.seq) == (held.epoch, held.seq))
        };
        self.actors.get(&held.actor).filter(newest)
    }

    fn drop_holders(&mut self, items: &[Held], changes: &mut Changes) -> Result<Response, Refused> {
        for held in items {
            let Some(mut actor) = self.line_of(held) else { continue };
            if actor.holders_mut().is_some_and(|holders| holders.remove(held.holder)) {
                note_if_lost(&held.actor, &mut actor, changes);
                self.actors.insert(&held.actor, &actor);
                changes.actors.insert(held.actor.clone());
            }
        }
        Ok(Response::Done)
    }
}

/// What a checkpoint replaces.
struct Replaced {
    checkpoint: Option<(Epoch, Checkpoint)>,
    was_lost: bool,
}

/// Invariants 4 and 5: only the present activation commits, and only forward. Nothing if it is committed already.
fn may_commit(
    actor: &Line<'_>,
    by: Incarnation,
    epoch: Epoch,
    checkpoint: &Checkpoint,
    enough: bool,
) -> Result<Option<Replaced>, Refused> {
    if (actor.host != Some(by) || actor.epoch != epoch) && !made(Mistake::EpochUnchecked) {
        return Err(Refused::StaleEpoch);
    }
    let before = actor.checkpoint();
    if let Some((written, newest)) = &before {
        let same = *written == epoch && newest.seq == checkpoint.seq;
        if same && newest.digest == checkpoint.digest {
            return Ok(None); // the same proposal again, after an unknown outcome
        }
        if (*written, newest.seq) >= (epoch, checkpoint.seq) {
            return Err(Refused::OldSeq);
        }
    }
    if !enough {
        return Err(Refused::TooFewCopies);
    }
    Ok(Some(Replaced { checkpoint: before, was_lost: actor.lost() }))
}

impl Actor {
    /// Whether it has no checkpoint: it was never acknowledged to exist, runs nowhere, and none but its home can
    /// write one.
    pub(super) fn is_unborn(&self) -> bool {
        self.checkpoint.is_none()
    }

    fn holders_mut(&mut self) -> Option<&mut Disks> {
        self.checkpoint.as_mut().map(|(_, c)| &mut c.holders)
    }
}

fn note_if_lost(id: &ActorId, actor: &mut Actor, changes: &mut Changes) {
    let gone = actor.checkpoint.as_ref().is_some_and(|(_, c)| c.holders.is_empty());
    if gone {
        actor.lost = true;
        changes.events.push(Event::ActorLost { actor: id.clone() });
    }
}
