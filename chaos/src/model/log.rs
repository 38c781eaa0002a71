//! The committed log: the core's `apply`, and what each entry may not have broken.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use standin::core::apply::{At, Changes};
use standin::core::command::{Admit, Checkpoint, Command, Commit, Create, HandOver, Held, Refused, Response};
use standin::core::lease::Flight;
use standin::core::state::State;
use standin::id::{Epoch, RaftId};

use super::parts::{Broken, Copy, Nr, Table, Wish, World};
use super::{Cluster, KIND};

/// How long, at least, a node has been away whose actors a leader orders others to take over.
const A_WHILE_MS: u32 = 1;

/// One entry, and the states around it.
struct Applied<'a> {
    before: &'a Table,
    after: &'a State,
    wish: &'a Wish,
    response: Option<Response>,
    index: u64,
}

impl Cluster {
    /// Commits one entry.
    pub fn append(&self, world: &mut World, term: u64, wish: &Wish) {
        let before = world.newest();
        let index = before.index + 1;
        let mut state = before.state.clone();
        let response = self
            .command(world, wish)
            .map(|command| state.apply(At { index, term }, &command, &mut Changes::default()));
        let ends = match wish {
            Wish::MarkDown { node, term, .. } => Some((*node, Flight::MarkDown, *term)),
            Wish::Admit { process, term, .. } => {
                Some((world.processes[usize::from(*process)].node, Flight::Admit, *term))
            }
            _ => None,
        };
        let applied = Applied { before, after: &state, wish, response: response.clone(), index };
        let broken = self.judge(&applied);
        let activations = self.activations(&applied);
        let since = self.since(&applied);
        self.counts.applied(wish, response.as_ref());
        let table = Arc::new(Table::new(index, term, ends, state, since, activations));
        world.broken.extend(broken);
        if let (Wish::Admit { process, .. }, Some(Response::Admitted(admission))) = (wish, response) {
            world.process(*process).offer.get_or_insert(admission);
        }
        let oldest = self.oldest_applied(world);
        let log = Arc::make_mut(&mut world.log);
        log.tables.push(table);
        log.tables.retain(|table| table.index >= oldest);
        if let Wish::Voters(config) = wish {
            log.config = config.clone();
        }
    }

    /// What nobody can look at any more makes no difference between two states.
    pub fn oldest_applied(&self, world: &World) -> u64 {
        let living = world.processes.iter().filter(|process| process.is_alive && process.applied > 0);
        living.map(|process| process.applied).min().unwrap_or(0)
    }

    fn command(&self, world: &World, wish: &Wish) -> Option<Command> {
        let node = |nr: &Nr| self.nodes[usize::from(*nr)].clone();
        let actor = |nr: &Nr| self.actors[usize::from(*nr)].clone();
        Some(match wish {
            Wish::Blank | Wish::Voters(_) => return None,
            Wish::MarkDown { node: nr, incarnation, term } => {
                Command::MarkDown { node: node(nr), incarnation: *incarnation, term: *term, silent_ms: 0 }
            }
            Wish::MarkUp { node: nr, incarnation, term } => {
                Command::MarkUp { node: node(nr), incarnation: *incarnation, term: *term }
            }
            Wish::Admit { process, replaces, disk, term } => Command::Admit(Admit {
                node: node(&world.processes[usize::from(*process)].node),
                addr: SocketAddr::from((Ipv4Addr::LOCALHOST, u16::from(*process))),
                raft_id: *disk,
                nonce: nonce(*process),
                kinds: BTreeSet::from([KIND.to_owned()]),
                labels: Default::default(),
                replaces: *replaces,
                term: *term,
                silent_ms: 0,
            }),
            Wish::Leave { node: nr, incarnation } => {
                Command::Leave { node: node(nr), incarnation: *incarnation }
            }
            Wish::Create { by, actor: nr } => Command::Create {
                by: *by,
                items: vec![Create {
                    actor: actor(nr),
                    nonce: u128::from(by.0),
                    stand_in_ms: self.stand_in_ms(*nr),
                }],
            },
            Wish::TakeOver { node: nr, incarnation, term } => Command::TakeOver {
                node: node(nr),
                incarnation: *incarnation,
                term: *term,
                away_ms: u64::from(A_WHILE_MS),
            },
            Wish::HandOver { by, copy, to } => {
                let (actor, to) = (actor(&copy.actor), node(to));
                let item = HandOver { actor, epoch: copy.epoch, to, by_hand: true };
                Command::HandOver { by: *by, items: vec![item] }
            }
            Wish::Commit { by, copy, holders, required } => {
                let checkpoint = Checkpoint {
                    seq: copy.seq,
                    digest: digest(copy),
                    length: 1,
                    copies: 1,
                    holders: holders.clone(),
                };
                let actor = actor(&copy.actor);
                let item = Commit { actor, epoch: copy.epoch, checkpoint, required: *required };
                Command::Commit { by: *by, items: vec![item] }
            }
            Wish::Restart { by, actor: nr, epoch } => {
                Command::Restart { by: *by, actor: actor(nr), epoch: *epoch, gives_up: false }
            }
            Wish::Stop { actor: nr, life, by } => Command::Stop { actor: actor(nr), life: *life, by: *by },
            Wish::Hold { actor: nr, epoch, seq, holder } => {
                let held = Held { actor: actor(nr), epoch: *epoch, seq: *seq, holder: *holder };
                Command::AddHolders { items: vec![held], repair: true }
            }
        })
    }

    /// When others may run an actor, if ever.
    fn stand_in_ms(&self, actor: Nr) -> Option<u32> {
        let after = if self.bounds.take_overs > 0 { A_WHILE_MS } else { 0 };
        (actor < self.bounds.stand_ins).then_some(after)
    }

    /// How often each actor was activated, counted by what each command is for, not by its epoch.
    fn activations(&self, applied: &Applied<'_>) -> BTreeMap<Nr, u8> {
        let mut activations = applied.before.activations.clone();
        for nr in self.activated(applied) {
            *activations.entry(nr).or_default() += 1;
        }
        activations
    }

    fn activated(&self, applied: &Applied<'_>) -> Vec<Nr> {
        let Applied { before, after, wish, response, index } = applied;
        match (wish, response) {
            // Whoever runs one that another ran before begins it anew.
            (
                Wish::Admit { .. }
                | Wish::MarkDown { .. }
                | Wish::MarkUp { .. }
                | Wish::Leave { .. }
                | Wish::TakeOver { .. },
                _,
            ) => {
                let host = |state: &State, id| state.actors.get(id).and_then(|actor| actor.host);
                let moved = |id| host(after, id).is_some_and(|_| host(after, id) != host(&before.state, id));
                self.actors.iter().zip(0..).filter(|(id, _)| moved(*id)).map(|(_, nr)| nr).collect()
            }
            (Wish::HandOver { copy, .. }, Some(Response::Items(answers)))
                if matches!(answers.first(), Some(Ok(_))) =>
            {
                vec![copy.actor]
            }
            (Wish::Restart { actor, .. }, Some(Response::Done)) => vec![*actor],
            (Wish::Create { actor, .. }, Some(Response::Items(answers)))
                if answers.first() == Some(&Ok(Epoch(*index))) =>
            {
                vec![*actor]
            }
            (Wish::Hold { actor, .. }, _) => {
                let lost = |state: &State| {
                    state.actors.get(&self.actors[usize::from(*actor)]).is_some_and(|actor| actor.lost)
                };
                Vec::from_iter((lost(&before.state) && !lost(after)).then_some(*actor))
            }
            _ => vec![],
        }
    }

    fn since(&self, applied: &Applied<'_>) -> BTreeMap<Nr, u64> {
        let mut since = applied.before.since.clone();
        for (id, nr) in self.nodes.iter().zip(0..) {
            let line = |state: &State| state.members.get(id).map(|m| (m.incarnation, m.standing));
            if line(&applied.before.state) != line(applied.after) {
                since.insert(nr, applied.index);
            }
        }
        since
    }

    fn judge(&self, applied: &Applied<'_>) -> Vec<Broken> {
        let Applied { before, after, wish, response, .. } = applied;
        let mut broken = vec![];
        let activated = self.activated(applied);
        for (id, nr) in self.actors.iter().zip(0..) {
            let (Some(old), Some(new)) = (before.state.actors.get(id), after.actors.get(id)) else {
                continue;
            };
            if new.epoch < old.epoch || (activated.contains(&nr) && new.epoch == old.epoch) {
                broken.push(Broken::EpochDidNotRise);
            }
            let written = |actor: &standin::core::state::Actor| {
                actor.checkpoint.as_ref().map(|(epoch, checkpoint)| (*epoch, checkpoint.seq))
            };
            if written(&new) < written(&old) {
                broken.push(Broken::CheckpointWentBack);
            }
            let current = |disk: RaftId| after.disk(disk).is_some();
            if new.checkpoint.iter().any(|(_, c)| !c.holders.iter().all(current)) {
                broken.push(Broken::RetiredHolder);
            }
        }
        if let (Wish::HandOver { copy, .. }, Some(Response::Items(answers))) = (wish, response)
            && matches!(answers.first(), Some(Ok(_)))
        {
            let line = before.state.actors.get(&self.actors[usize::from(copy.actor)]);
            let newest = line.and_then(|actor| actor.checkpoint);
            let is_whole = newest.is_some_and(|(epoch, c)| (epoch, c.seq) == (copy.epoch, copy.seq))
                && before.activations.get(&copy.actor) == Some(&copy.activation);
            if !is_whole {
                broken.push(Broken::HandedOverInPart);
            }
        }
        if let (Wish::Commit { by, copy, required, .. }, Some(Response::Items(answers))) = (wish, response)
            && matches!(answers.first(), Some(Ok(_)))
        {
            let id = &self.actors[usize::from(copy.actor)];
            let is_current = before.state.actors.get(id).is_some_and(|actor| {
                actor.epoch == copy.epoch
                    && actor.host == Some(*by)
                    && before.activations.get(&copy.actor) == Some(&copy.activation)
            });
            if !is_current {
                broken.push(Broken::OldEpochAccepted);
            }
            let own = before.state.member_of(*by).map(|(_, m)| m.raft_id);
            let holders = after.actors.get(id).and_then(|actor| actor.checkpoint);
            let others = holders.map_or(0, |(_, c)| c.holders.iter().filter(|id| Some(*id) != own).count());
            let is_repeated = before.state.actors.get(id).map(|actor| actor.checkpoint)
                == after.actors.get(id).map(|actor| actor.checkpoint);
            if !is_repeated && others < usize::from(*required) {
                broken.push(Broken::TooFewCopies);
            }
        }
        broken
    }
}

impl Table {
    pub fn new(
        index: u64,
        term: u64,
        ends: Option<(Nr, Flight, u64)>,
        state: State,
        since: BTreeMap<Nr, u64>,
        activations: BTreeMap<Nr, u8>,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        (index, term, &ends, &state, &since, &activations).hash(&mut hasher);
        let print = hasher.finish();
        Self { index, term, ends, state, since, activations, print }
    }
}

/// Whether an answer says that an entry changed nothing because it came too late.
pub fn is_stale(refused: Refused) -> bool {
    matches!(refused, Refused::OtherTerm | Refused::NewerIncarnation | Refused::StaleEpoch)
}

/// What a process draws once.
pub fn nonce(process: Nr) -> u128 {
    u128::from(process) + 1
}

fn digest(copy: &Copy) -> [u8; 32] {
    let mut digest = [0; 32];
    digest[0] = copy.activation;
    digest
}
