//! The policy as a whole: immutable, checked, indexed.

use std::{collections::HashMap, sync::Arc};

use crate::{
    base::clock::Moment,
    evidence::{Identity, Source, Supposed},
    model::{Attributes, Target, TargetName, TrustDomainName},
};

use super::{
    Ask, Denial, DomainPolicy, Facts, Grant, PolicyProblem, Refused, Role, Supposition,
    TestOutcome, Trace, check, decide::Scene, digest, examples, explain, grant::Terms,
    index::DomainIndex,
};

/// The whole policy: immutable.
#[derive(Debug)]
pub struct Policy {
    targets: Vec<Arc<Target>>,
    target_by_name: HashMap<TargetName, usize>,
    roles: Vec<Role>,
    domains: Vec<DomainPolicy>,
    indexes: Vec<DomainIndex>,
    domain_by_name: HashMap<TrustDomainName, usize>,
    digest: String,
}

impl Policy {
    /// Checks everything that only shows across documents, and arranges it for
    /// deciding.
    pub fn new(
        targets: Vec<Arc<Target>>,
        roles: Vec<Role>,
        domains: Vec<DomainPolicy>,
    ) -> Result<Self, Vec<PolicyProblem>> {
        let problems = check::problems(&targets, &roles, &domains);
        if !problems.is_empty() {
            return Err(problems);
        }
        let names = targets.iter().enumerate();
        let target_by_name = names.map(|(at, t)| (t.name.clone(), at)).collect();
        let names = domains.iter().enumerate();
        let domain_by_name = names.map(|(at, d)| (d.name.clone(), at)).collect();
        let index = |domain| DomainIndex::new(domain, &roles, &targets);
        let indexes = domains.iter().map(index).collect();
        Ok(Self {
            digest: digest::of(&targets, &roles, &domains),
            targets,
            target_by_name,
            roles,
            domains,
            indexes,
            domain_by_name,
        })
    }

    /// A target by name.
    pub fn target(&self, name: &str) -> Option<&Arc<Target>> {
        self.targets.get(*self.target_by_name.get(name)?)
    }

    /// All targets.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// All roles.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// A trust domain's part by name.
    pub fn domain(&self, name: &str) -> Option<&DomainPolicy> {
        self.scene(name).map(|scene| scene.domain)
    }

    /// All trust domains' parts.
    pub fn domains(&self) -> &[DomainPolicy] {
        &self.domains
    }

    /// SHA-256 over the canonical form, in hexadecimal: two policies that
    /// decide alike because they say the same have the same digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Decides for a proven identity. Consumes it: a grant holds it, and a
    /// refusal hands it back for the audit record.
    pub fn decide(
        &self,
        identity: Identity,
        ask: &Ask,
        now: Moment,
    ) -> Result<Grant, Box<Refused>> {
        let facts = Facts {
            subject: identity.subject(),
            attributes: identity.attributes(),
            remaining: Some(identity.expires_at().since(now).as_secs()),
        };
        let decided = self.judge(identity.trust_domain().name.as_str(), &facts, ask);
        match decided {
            Ok((terms, target)) => Ok(Grant {
                identity,
                target: Arc::clone(target),
                terms,
            }),
            Err(denial) => Err(Box::new(Refused {
                identity,
                denial: *denial,
            })),
        }
    }

    /// Decides for a supposed identity: same rules, nothing mintable.
    pub fn suppose(&self, supposed: &Supposed, ask: &Ask) -> Result<Supposition, Box<Denial>> {
        let facts = Facts {
            subject: &supposed.subject,
            attributes: &supposed.attributes,
            remaining: None,
        };
        self.simulate(supposed.trust_domain.as_str(), &facts, ask)
    }

    /// Decides on bare facts about an identity of the named trust domain: same
    /// rules, nothing mintable.
    pub fn simulate(
        &self,
        domain: &str,
        facts: &Facts<'_>,
        ask: &Ask,
    ) -> Result<Supposition, Box<Denial>> {
        self.judge(domain, facts, ask)
            .map(|(terms, _)| terms.into())
    }

    /// Every rule and field that is compared, for `explain`.
    pub fn trace(&self, domain: &str, subject: &str, attributes: &Attributes, ask: &Ask) -> Trace {
        let facts = Facts {
            subject,
            attributes,
            remaining: None,
        };
        self.scene(domain)
            .map(|scene| explain::trace(&scene, &facts, ask))
            .unwrap_or_default()
    }

    /// Runs the tests in the files.
    pub fn run_tests(
        &self,
        sources: &dyn Fn(&TrustDomainName) -> Option<Source>,
    ) -> Vec<TestOutcome> {
        examples::run(self, sources)
    }

    fn scene(&self, name: &str) -> Option<Scene<'_>> {
        let at = *self.domain_by_name.get(name)?;
        Some(Scene {
            domain: self.domains.get(at)?,
            index: self.indexes.get(at)?,
            roles: &self.roles,
        })
    }

    /// The one way to a decision, for the proven and the supposed alike.
    fn judge(
        &self,
        domain: &str,
        facts: &Facts<'_>,
        ask: &Ask,
    ) -> Result<(Terms, &Arc<Target>), Box<Denial>> {
        let Some(scene) = self.scene(domain) else {
            return Err(Box::new(explain::stranger(ask)));
        };
        let terms = scene
            .decide(facts, ask)
            .map_err(|refusal| Box::new(explain::denial(&scene, facts, ask, refusal)))?;
        // A rule is about a target that is there: `check` saw to it.
        let target = self
            .target(ask.target.as_str())
            .ok_or_else(|| Box::new(explain::stranger(ask)))?;
        Ok((terms, target))
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
