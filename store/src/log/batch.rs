//! Many commands on many aggregates in one append, for a round of predictions and its scores.

use std::collections::HashMap;

use cqrs_es::Aggregate;

use super::append::{Append, AppendError};
use super::bus::{CommandBus, CommandError, Commanded, Committed, repeat};
use super::command_log;
use super::extras::Extras;
use super::issued::{Cause, Issued};
use crate::StoreError;

/// So many commands are written in one transaction: enough to make the round trips vanish, few enough to stay
/// short.
const AT_ONCE: usize = 500;

type Outcome<A> = Result<Committed, CommandError<<A as Aggregate>::Error>>;

struct Item<C> {
    id: String,
    command: C,
    issued: Issued,
}

impl CommandBus {
    /// Decides many commands of one kind of aggregate and writes their events in few transactions.
    ///
    /// Each outcome stands at the place of its command, and a refused command does not hold up the others.
    /// Every command gets an id of its own that follows from the one in `issued`, so a batch may be given
    /// again after a crash. When somebody else writes to one of the streams at the same time, the commands
    /// are executed one by one.
    ///
    /// # Errors
    /// When the database fails; commands of earlier parts of the batch may have had their effect.
    pub async fn execute_batch<A: Commanded>(
        &self,
        commands: Vec<(String, A::Command)>,
        issued: &Issued,
    ) -> Result<Vec<Outcome<A>>, StoreError> {
        let commands = commands.into_iter().map(|(id, command)| (id, command, None)).collect();
        self.execute_reactions::<A>(commands, issued).await
    }

    /// Like [`CommandBus::execute_batch`], where each command may answer a fact of its own and then belongs to the
    /// story of that fact.
    ///
    /// # Errors
    /// As [`CommandBus::execute_batch`].
    pub async fn execute_reactions<A: Commanded>(
        &self,
        commands: Vec<(String, A::Command, Option<Cause>)>,
        issued: &Issued,
    ) -> Result<Vec<Outcome<A>>, StoreError> {
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut seen: HashMap<String, u32> = HashMap::new();
        let mut part: Vec<Item<A::Command>> = vec![];
        for (id, command, cause) in commands {
            let again = seen.entry(id.clone()).and_modify(|times| *times += 1).or_default();
            let place = if *again == 0 { id.clone() } else { format!("{id}#{again}") };
            // A second command on the same aggregate must see the events of the first.
            if part.len() == AT_ONCE || part.iter().any(|item| *again > 0 && item.id == id) {
                outcomes.extend(self.execute_part::<A>(std::mem::take(&mut part)).await?);
            }
            let issued = issued.for_item(A::TYPE, &place).caused_by_any(cause);
            part.push(Item { id, command, issued });
        }
        outcomes.extend(self.execute_part::<A>(part).await?);
        Ok(outcomes)
    }

    async fn execute_part<A: Commanded>(
        &self,
        items: Vec<Item<A::Command>>,
    ) -> Result<Vec<Outcome<A>>, StoreError> {
        match self.execute_at_once::<A>(&items).await {
            Ok(outcomes) => Ok(outcomes),
            Err(AppendError::Database(error)) => Err(error.into()),
            Err(
                AppendError::Conflict
                | AppendError::CommandKnown
                | AppendError::ClaimTaken { .. }
                | AppendError::Unstorable(_),
            ) => {
                let mut outcomes = Vec::with_capacity(items.len());
                for Item { id, command, issued } in items {
                    outcomes.push(self.execute::<A>(&id, command, &issued).await);
                }
                Ok(outcomes)
            }
        }
    }

    async fn execute_at_once<A: Commanded>(
        &self,
        items: &[Item<A::Command>],
    ) -> Result<Vec<Outcome<A>>, AppendError> {
        if items.is_empty() {
            return Ok(vec![]);
        }
        let pool = self.database().pool();
        let command_ids: Vec<_> = items.iter().map(|item| item.issued.command_id).collect();
        let known = command_log::find(pool, &command_ids).await?;
        let ids: Vec<_> = items.iter().map(|item| item.id.clone()).collect();
        let append = Append::for_batch::<A>(self.ways(), &ids).await?;
        let mut outcomes: Vec<Outcome<A>> = Vec::with_capacity(items.len());
        let mut rows = vec![];
        for Item { id, command, issued } in items {
            outcomes.push(match known.get(&issued.command_id) {
                Some(row) => repeat(row, issued),
                None => match self.stage::<A>(&append, id, command.clone(), issued).await {
                    Ok(Ok(row)) => {
                        let committed = row.committed(false);
                        rows.push(row);
                        Ok(committed)
                    }
                    Ok(Err(refusal)) => Err(CommandError::Refused(refusal)),
                    Err(error) => Err(CommandError::Broken(error)),
                },
            });
        }
        if !rows.is_empty() {
            self.write(&append, rows, &Extras::none()).await?;
        }
        Ok(outcomes)
    }
}
