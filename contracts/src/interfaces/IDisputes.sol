// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Request} from "../libraries/Types.sol";

/// @title A committee of operators, drawn by lot, decides about a pending answer that somebody doubts
/// @notice One dispute for a request, opened with a bond while its window is open, or as an audit that the lottery
///         forces. What it comes to is read with `rulingOf`, and carried out by the Coprocessor.
interface IDisputes {
    /// @notice NONE → DRAWING → COMMITTING → REVEALING → CLOSED, by time and by calls; DRAWING → CLOSED when nobody
    ///         drew, any → CLOSED when a proof decided instead.
    enum Phase {
        NONE,
        DRAWING,
        COMMITTING,
        REVEALING,
        CLOSED
    }

    /// @notice STANDS and REPLACED: more than half of the committee said so. NO_MAJORITY: no output was named by more
    ///         than half. LAPSED: no committee was drawn in time. SUPERSEDED: a proof replaced the answer meanwhile.
    enum Outcome {
        NONE,
        OPEN,
        STANDS,
        REPLACED,
        NO_MAJORITY,
        LAPSED,
        SUPERSEDED
    }

    /// @notice Fixed at deployment.
    struct Terms {
        /// @dev What opening a dispute takes, in wei of the chain's own coin, whatever fees are paid in; not zero.
        uint128 bondWei;
        /// @dev Seats in a committee; odd, MIN_COMMITTEE to MAX_COMMITTEE.
        uint8 committeeSize;
        /// @dev For somebody to draw the committee, from the opening on; not zero, like the next two.
        uint32 drawSeconds;
        uint32 commitSeconds;
        uint32 revealSeconds;
        /// @dev One answer in so many must pass a committee although nobody disputes it; 0 for none.
        uint32 auditOneIn;
    }

    struct Ruling {
        Outcome outcome;
        /// @dev The output that holds: of STANDS the delivered one's digest, of REPLACED another's; else zero.
        bytes32 outputDigest;
        /// @dev Who opened the dispute or the audit.
        address challenger;
        /// @dev The members who voted for `outputDigest`; empty without a majority.
        address[] majority;
        /// @dev Unix seconds at which the outcome was settled; 0 while it is open, and where a proof superseded it.
        uint64 closedAt;
    }

    /// @notice What there is to know of a dispute beside its ruling; zeros where there is none.
    struct Info {
        Phase phase;
        bool isAudit;
        address challenger;
        /// @dev The answer in doubt.
        bytes32 disputedDigest;
        /// @dev The first block whose hash draws the committee, see `seedBlockOf`.
        uint64 seedBlock;
        /// @dev Unix seconds; in each the first second that is too late. The last two are 0 before the draw, and come
        ///      earlier where everybody has committed or revealed.
        uint64 drawEndsAt;
        uint64 commitEndsAt;
        uint64 revealEndsAt;
        /// @dev Operators' accounts, in the order of the draw; empty before.
        address[] members;
    }

    struct Vote {
        /// @dev Zero before the member committed.
        bytes32 commitment;
        /// @dev Zero before the member revealed.
        bytes32 outputDigest;
    }

    event DisputeOpened(
        bytes32 indexed requestId, address indexed challenger, bytes32 disputedDigest, bool isAudit, uint64 seedBlock
    );
    /// @notice `members` have `commitSeconds` from this block's time on.
    event CommitteeDrawn(bytes32 indexed requestId, address[] members, uint64 commitEndsAt, uint64 revealEndsAt);
    event VoteCommitted(bytes32 indexed requestId, address indexed member, bytes32 commitment);
    /// @notice Everybody committed, so revealing begins at once; it ends at `revealEndsAt`.
    event RevealBegun(bytes32 indexed requestId, uint64 revealEndsAt);
    event VoteRevealed(bytes32 indexed requestId, address indexed member, bytes32 outputDigest);
    /// @notice Everybody who committed has revealed, so nothing more can change.
    event RevealEnded(bytes32 indexed requestId);
    /// @notice A proof replaced the answer; the committee, drawn or not, has nothing more to say.
    event DisputeSuperseded(bytes32 indexed requestId);
    event BondSettled(bytes32 indexed requestId, Outcome outcome, address[] beneficiaries, uint256 bondWei);
    event BondWithdrawn(address indexed account, address indexed to, uint256 amountWei);

    error TermsRejected();
    error NotTheDisputes(address expected);
    error UnbondingTooShort(uint64 minSeconds, uint64 gotSeconds);
    error NotPending(bytes32 requestId);
    error NotDisputable(bytes32 policy);
    error WindowOver(uint64 availableAt);
    error WrongBond(uint256 expectedWei, uint256 gotWei);
    error BeneficiariesMismatch(bytes32 expectedDigest, bytes32 gotDigest);
    error OwnAnswer(address account);
    error AlreadyOpened(bytes32 requestId);
    error CommitteeTooSmall(uint256 minSeats, uint256 gotSeats);
    error AuditNotDue(bytes32 requestId);
    error LotteryOpen(uint64 lotteryBlock);
    error NotCoprocessor(address caller);
    error WrongPhase(bytes32 requestId, Phase phase);
    error SeedNotThere(uint64 seedBlock);
    error NotMember(bytes32 requestId, address caller);
    error EmptyVote();
    error AlreadyCommitted(bytes32 requestId, address member);
    error AlreadyRevealed(bytes32 requestId, address member);
    error CommitmentMismatch(bytes32 expected, bytes32 got);
    error AlreadySettled(bytes32 requestId);
    error ZeroAddress();
    error NothingOwed(address account);
    error TransferFailed(address to, uint256 amountWei);

    /// @notice Doubts a pending answer whose window is open, with BOND_WEI of the chain's coin as `msg.value`.
    /// @param beneficiaries Those of the answer's InferenceDelivered. The caller, and the operator whose key the caller
    ///        is, must not be among them; neither do they, nor the caller, sit on the committee.
    /// @dev The bond comes back unless the answer stands (then it is the majority's) or nobody draws (then it is
    ///      nobody's).
    function open(Request calldata request, address[] calldata beneficiaries) external payable;

    /// @notice Opens the audit that the lottery forces (`isAuditDue`), without a bond. Anyone may, also who answered;
    ///         neither is on the committee.
    function openAudit(Request calldata request, address[] calldata beneficiaries) external;

    /// @notice Only for the Coprocessor, which has checked the arguments, on finalizing: opens the audit that the
    ///         lottery forces, if it does and a committee can be had; else returns false.
    /// @param opener Whose the challenger's part is; nobody's, where a committee can be had only with its own seat.
    function forceAudit(bytes32 requestId, bytes32 modelId, address[] calldata beneficiaries, address opener)
        external
        returns (bool isForced);

    /// @notice Only for the Coprocessor: a proof has replaced the answer. Nothing happens where there is no dispute.
    function supersede(bytes32 requestId) external;

    /// @notice Only for the Coprocessor: a proof has shown that the disputed answer is the right one. The dispute is
    ///         over, and the bond, where there is one, the prover's. Reverts where there is no dispute.
    function uphold(bytes32 requestId, address prover) external;

    /// @notice Draws the committee, once, from a block's hash that nobody knew when the dispute was opened. Anyone may.
    function draw(bytes32 requestId) external;

    /// @notice A member's sealed vote; from its operator's account or its current signing key.
    /// @param commitment keccak256(abi.encode(requestId, member, outputDigest, salt)), see `computeCommitment`.
    function commitVote(bytes32 requestId, bytes32 commitment) external;

    /// @notice Opens a sealed vote.
    /// @param outputDigest keccak256 of the output that the member's own run gave; not zero.
    /// @param salt 32 random bytes that nobody else knew before.
    function revealVote(bytes32 requestId, bytes32 outputDigest, bytes32 salt) external;

    /// @notice Credits the bond to whom the outcome gives it, once it is settled. Anyone may call.
    function settleBond(bytes32 requestId) external;

    /// @notice Pays the caller what bonds were credited to it.
    function withdraw(address payable to) external;

    /// @notice What a dispute has come to; Outcome.NONE where there is none. About a canonical model nothing is ruled
    ///         before the window is over, and not before DRAW_SECONDS, COMMIT_SECONDS and REVEAL_SECONDS are: until
    ///         then a proof comes over any vote.
    function rulingOf(bytes32 requestId) external view returns (Ruling memory);

    /// @notice Phase, times and members of a dispute.
    function infoOf(bytes32 requestId) external view returns (Info memory);

    /// @notice The vote of a member.
    function voteOf(bytes32 requestId, address member) external view returns (Vote memory);

    /// @notice Whether a member must be fined: a committee was drawn, the dispute is closed, and the member either did
    ///         not reveal or voted for another output than the majority.
    function isFaulty(bytes32 requestId, address member) external view returns (bool);

    /// @notice The member that `account` votes as; reverts when it is none.
    function memberOf(bytes32 requestId, address account) external view returns (address member);

    /// @notice The block whose hash would draw the committee now: the one fixed at the opening while its hash can be
    ///         read, later the last of those that lie whole multiples of 256 behind it.
    function seedBlockOf(bytes32 requestId) external view returns (uint64);

    /// @notice Whether the lottery demands an audit of a pending answer that nobody disputed, under a policy that is
    ///         disputable: openAudit would be accepted, if a committee can be had.
    function isAuditDue(bytes32 requestId) external view returns (bool);

    /// @notice What a member commits to.
    function computeCommitment(bytes32 requestId, address member, bytes32 outputDigest, bytes32 salt)
        external
        pure
        returns (bytes32);

    /// @notice What bonds have been credited to an account and not withdrawn, in wei of the chain's coin.
    function owedTo(address account) external view returns (uint256 amountWei);

    // solhint-disable func-name-mixedcase

    /// @notice The terms, one by one (Terms).
    function BOND_WEI() external view returns (uint128);
    function COMMITTEE_SIZE() external view returns (uint8);
    function DRAW_SECONDS() external view returns (uint32);
    function COMMIT_SECONDS() external view returns (uint32);
    function REVEAL_SECONDS() external view returns (uint32);
    function AUDIT_ONE_IN() external view returns (uint32);
}
