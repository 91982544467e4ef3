//! The words of the lexicon model, written for headlines about companies and markets.
//!
//! A word stands here in its base form; `words.rs` finds `gains`, `gained` and `gaining` from `gain`. Words that
//! name companies, people or places have no tone and must not come in.

/// Something went up: good, unless it is a burden that went up.
pub(super) const UP: &str = "
    accelerate advance appreciate ascend bounce climb double expand expansion gain gainer grew grow growth
    heighten higher hike increase jump leap multiply peak quadruple raise rally rebound recover recovery
    resurgence revival revive rise risen rocket rose shoot skyrocket soar spike spurt strengthen surge
    swell triple up upswing uptick uptrend upturn upward vault widen zoom";

/// Something went down: bad, unless it is a burden that went down.
pub(super) const DOWN: &str = "
    backslide collapse contraction crater crumble cut decelerate decline decrease deplete depreciate
    descend deteriorate dip dive dove down downswing downtrend downturn downward drop dwindle ebb erode
    fall fallen fell halve lower nosedive plummet plunge recede reduce retreat sag sank shed shrank shrink
    shrunk sink skid slid slide slip slow slowdown slump soften subside tumble wane weaken";

/// Good for a company or its share.
pub(super) const GOOD: &str = "
    above accolade achieve acquire add affordable agreement amicable approval approve attractive award bag
    beneficial benefit bet better boom boost breakthrough bright brighten brisk bullish buoy buoyant buy
    buyback buyer capex cheap cheer clearance clearer collaborate comfort comfortable competitive complete
    confidence confident constructive cool_off decent defensive deliver eager efficient encourage energise
    enhance enthuse enthusiasm exceptional exclusive fair favor favorable favour favourable favourite
    festive fold foray gainful generous good green growing healthy help helpful high highs hope hopeful
    ideal impress improve improvement inch_up innovate innovation invest leader leadership lift lucrative
    mend merge modernise momentum multibagger normal opportunity optimism optimistic outpace outsmart
    overcome overweight partnership perk pick pickup pioneer pleasant polish popular positive potential
    prefer premium progress promising prop prosper prudent push reap reassure rebuild relieve resilience
    resilient resolve restore return reward rich robust safe satisfy secure smart smooth solid speedy
    stabilise stability stabilize subscribe succeed success successful superb sustain sustainable sweet
    synergy tailwind touch traction transform turnaround undervalue upbeat uplift upper upside valuable
    well win winner";

/// Very good for a company or its share.
pub(super) const EXCELLENT: &str = "
    accumulate beat best blockbuster bumper dazzle exceed excellent fabulous fantastic highest landmark
    life_high lifetime_high outperform outperformer outshine outstrip oversubscribe record record_high
    stellar strong stronger strongest superior surpass terrific thrive time_high trounce upgrade week_high
    windfall year_high zenith";

/// Bad for a company or its share.
pub(super) const BAD: &str = "
    abandon abrupt absence accident accuse adverse afraid allegation allege anxiety anxious apprehension
    avoid away bear bearish below blame blow boycott brake breach burden cancel caution cautious challenge
    choppy clash cloud complain complaint concern conflict congestion controversy costly crack criticise
    criticism damage danger dear delay delinquent dent deny deter difficult difficulty dilute dim disagree
    disappoint disappointing disappointment dislocate dismal dispute disrupt disruption distress doubt
    downbeat downside drag drain dull erosion evade exit exodus expensive fail failure fear feeble fine
    fragile fret frown glitch gloom gloomy glut grim halt hamper hardship harm headwind hinder hit_hard
    hurdle hurt idle impair impairment impasse inability inadequate ineffective inefficient instability
    insufficient investigate investigation jitter jittery lack lackluster lacklustre lag lapse lawsuit
    layoff lethargic liability liquidate litigation lock_out lose loser loss lost low low_demand lukewarm
    malaise mediocre misconduct miss muted nag negative nervous nervy obstacle odds offload outage outflow
    overdue overhang overpriced oversupply overvalue pain panic penalise penalty peril pessimism
    pessimistic plague poor postpone pressure pressurise probe problem profit_booking profit_taking
    protest pullback punish recall red refuse reject resignation resistance restrain restrict risky rumour
    sack scare sell sell_off selling selloff setback shaky shortage shortfall shut shutdown slack sluggish
    snag sour spook stagnant stagnate stall strain stress strike struggle subdue sue suffer suspend
    tension threat threaten threatening trap trim trouble turbulence turmoil uncertain uncertainty under
    underperform underperformer underweight unease unfavourable unhappy unlikely unrest unsold unstable
    unwind upset vacate violate violation volatility vulnerable warn warning wary weak weaker weakness
    weigh wither woe worry write_off writeoff";

/// Very bad for a company or its share.
pub(super) const TERRIBLE: &str = "
    bankrupt bankruptcy bleed bloodbath bribery bust carnage catastrophe catastrophic chaos corruption
    crash crisis deadlock debacle default devastate dire disaster disastrous downgrade embezzle explosion
    fatal fiasco foreclose foreclosure fraud fraudulent horrible insolvency insolvent life_low lowest
    meltdown raid recession record_low rout ruin ruinous scam scandal shock slash swindle tank terrible
    toxic trash week_low wipe worse worsen worst wreck year_low";

/// What a company would rather have less of: its rise is bad and its fall is good.
pub(super) const BURDENS: &str = "
    attrition churn cost debt deficit expense inflation interest_cost jobless leverage liability loss npa
    npas overhang pledge provision unemployment";

/// Pairs of words that have no tone though one of them has.
pub(super) const TONELESS: &str = "
    add_capacity break_up close_at complete_acquisition complete_sale cut_stake down_payment exit_poll
    fair_trade final_dividend first_half follow_up green_energy high_court high_level high_speed
    hike_stake hit_market interim_dividend line_up long_term low_cost low_income mop_up net_loss
    price_hike raise_capital raise_fund raise_money raise_stake reduce_stake right_issue rights_issue
    risk_management risk_officer sell_stake set_up short_term sign_up start_up stop_loss strike_rate
    take_up trim_stake under_construction up_stake value_fund warm_up well_known wind_up";

/// Words that turn the tone of what follows within three words.
pub(super) const NEGATIONS: &str = "
    ain't aren't barely can't cannot couldn't didn't doesn't don't hadn't hardly hasn't haven't isn't
    lacks neither never no nobody none nor not refuses scarcely shouldn't wasn't weren't without won't
    wouldn't";

/// Words that strengthen the next.
pub(super) const INTENSIFIERS: &str = "
    badly big considerably deeply dramatically exceptionally extremely heavily highly huge hugely major
    massive massively severely sharp sharply significantly steep steeply strongly substantially very";

/// Words that weaken the next.
pub(super) const DAMPENERS: &str = "
    little marginal marginally mild mildly minor moderately modest modestly partly slightly somewhat";
