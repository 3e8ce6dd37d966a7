// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "./interfaces/ICoprocessor.sol";
import {IDisputes} from "./interfaces/IDisputes.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {ChainLot} from "./libraries/ChainLot.sol";
import {FeeSplit} from "./libraries/FeeSplit.sol";
import {Policy} from "./libraries/Policy.sol";
import {Sortition} from "./libraries/Sortition.sol";
import {Request, Status} from "./libraries/Types.sol";

/// @title Disputes: committees, their votes, and the challengers' bonds
/// @notice Nobody owns it and nothing in it can be changed. It holds the bonds and no fee; fees are paid by the
///         Coprocessor, fines taken by FraudProofs, both on what is ruled here.
contract Disputes is IDisputes {
    uint256 public constant MIN_COMMITTEE = 3;
    /// @notice A ruling compares every vote with every other.
    uint256 public constant MAX_COMMITTEE = 31;
    /// @notice For whoever must do something with a ruling before a stake it concerns can leave.
    uint64 public constant GRACE_SECONDS = 1 days;
    /// @notice A bond that nobody earned is owed to this address. Nobody has its key.
    address public constant BURNT = 0x000000000000000000000000000000000000dEaD;

    ICoprocessor public immutable COPROCESSOR;
    IOperatorRegistry public immutable OPERATORS;

    /// @inheritdoc IDisputes
    uint128 public immutable BOND_WEI;
    /// @inheritdoc IDisputes
    uint8 public immutable COMMITTEE_SIZE;
    /// @inheritdoc IDisputes
    uint32 public immutable DRAW_SECONDS;
    /// @inheritdoc IDisputes
    uint32 public immutable COMMIT_SECONDS;
    /// @inheritdoc IDisputes
    uint32 public immutable REVEAL_SECONDS;
    /// @inheritdoc IDisputes
    uint32 public immutable AUDIT_ONE_IN;

    /// @dev Phases are read off times and counts (`_phaseOf`); the outcome off the votes (`rulingOf`). What is written:
    ///
    ///      nothing ──open, openAudit, forceAudit──▶ opened ──draw──▶ drawn: votes, each committed once, then revealed
    ///      until it is ruled: ──supersede, uphold──▶ superseded; closed ──settleBond──▶ settled
    struct Dispute {
        address challenger;
        /// @dev The first block of the lot that draws the committee.
        uint48 seedBlock;
        /// @dev Zero where there is no dispute.
        uint48 openedAt;
        bytes32 disputedDigest;
        /// @dev The seats that can be drawn: fixed at the opening, so that nobody leaves or joins the lot once its hash
        ///      is known. Who leaves afterwards can be drawn all the same: its stake stays for longer than any of this.
        uint256 eligible;
        uint48 commitEndsAt;
        uint48 revealEndsAt;
        /// @dev Nothing is ruled before, so that a proof always comes in time. Zero where nothing can be proven.
        uint48 provableUntil;
        uint8 committed;
        uint8 revealed;
        bool isAudit;
        bool isSuperseded;
        bool isSettled;
        /// @dev Accounts, not seats: a seat can change hands.
        address[] members;
    }

    mapping(bytes32 requestId => Dispute) private _disputes;
    mapping(bytes32 requestId => mapping(address member => Vote)) private _votes;

    /// @inheritdoc IDisputes
    mapping(address account => uint256 amountWei) public owedTo;

    /// @dev Reverts unless the Coprocessor was deployed with this contract as its Disputes, and unless a stake outlasts
    ///      the longest window, a dispute opened in its last second, and GRACE_SECONDS.
    constructor(ICoprocessor coprocessor, IOperatorRegistry operators, Terms memory terms) {
        if (address(coprocessor.DISPUTES()) != address(this)) revert NotTheDisputes(address(coprocessor.DISPUTES()));
        _requireSound(terms);
        uint64 longest = uint64(coprocessor.MAX_WINDOW_SECONDS()) + terms.drawSeconds + terms.commitSeconds
            + terms.revealSeconds + GRACE_SECONDS;
        uint64 unbonding = operators.UNBONDING_SECONDS();
        if (unbonding <= longest) revert UnbondingTooShort(longest + 1, unbonding);
        COPROCESSOR = coprocessor;
        OPERATORS = operators;
        BOND_WEI = terms.bondWei;
        COMMITTEE_SIZE = terms.committeeSize;
        DRAW_SECONDS = terms.drawSeconds;
        COMMIT_SECONDS = terms.commitSeconds;
        REVEAL_SECONDS = terms.revealSeconds;
        AUDIT_ONE_IN = terms.auditOneIn;
    }

    // ---- opening ----------------------------------------------------------------------------------------------

    /// @inheritdoc IDisputes
    function open(Request calldata request, address[] calldata beneficiaries) external payable {
        bytes32 requestId = COPROCESSOR.computeRequestId(request);
        (bytes32 disputedDigest, uint64 availableAt) = _requirePending(requestId, request.policy, beneficiaries);
        if (block.timestamp >= availableAt) revert WindowOver(availableAt);
        if (msg.value != BOND_WEI) revert WrongBond(BOND_WEI, msg.value);
        _requireOthersAnswer(beneficiaries, msg.sender);
        uint256 eligible = _requireEligible(beneficiaries, msg.sender);
        _open(requestId, disputedDigest, msg.sender, eligible, _provableUntil(request.modelId, availableAt), false);
    }

    /// @inheritdoc IDisputes
    /// @dev Who answered may open it, too: through another account it could anyway, and an honest signer only waits
    ///      less.
    function openAudit(Request calldata request, address[] calldata beneficiaries) external {
        bytes32 requestId = COPROCESSOR.computeRequestId(request);
        (bytes32 disputedDigest, uint64 availableAt) = _requirePending(requestId, request.policy, beneficiaries);
        if (!isAuditDue(requestId)) revert AuditNotDue(requestId);
        uint256 eligible = _requireEligible(beneficiaries, msg.sender);
        _open(requestId, disputedDigest, msg.sender, eligible, _provableUntil(request.modelId, availableAt), true);
    }

    /// @inheritdoc IDisputes
    /// @dev Reverts while the lottery's block is not there: an answer is final only when it has come through it.
    ///      Where the seats are too few for a committee no audit is forced, or nothing could become final there. Where
    ///      only the opener's own seat is missing, it is nobody who opens: a member could wave the answer through else.
    function forceAudit(bytes32 requestId, bytes32 modelId, address[] calldata beneficiaries, address opener)
        external
        returns (bool isForced)
    {
        if (msg.sender != address(COPROCESSOR)) revert NotCoprocessor(msg.sender);
        if (AUDIT_ONE_IN == 0 || _disputes[requestId].openedAt != 0) return false;
        (, uint48 deliveredBlock) = COPROCESSOR.deliveryOf(requestId);
        uint256 first = deliveredBlock + ChainLot.DELAY_BLOCKS;
        if (block.number <= first) revert LotteryOpen(uint64(first));
        if (!_isHit(requestId, first)) return false;
        address challenger = opener;
        uint256 eligible = _eligible(beneficiaries, challenger);
        if (Sortition.countBits(eligible) < MIN_COMMITTEE) {
            challenger = BURNT;
            eligible = _eligible(beneficiaries, challenger);
            if (Sortition.countBits(eligible) < MIN_COMMITTEE) return false;
        }
        (,, bytes32 disputedDigest, uint64 availableAt) = COPROCESSOR.statusOf(requestId);
        _open(requestId, disputedDigest, challenger, eligible, _provableUntil(modelId, availableAt), true);
        return true;
    }

    /// @inheritdoc IDisputes
    /// @dev A proof is better than any vote: it also overrides a ruling that was not carried out.
    function supersede(bytes32 requestId) external {
        if (msg.sender != address(COPROCESSOR)) revert NotCoprocessor(msg.sender);
        Dispute storage dispute = _disputes[requestId];
        if (dispute.openedAt == 0) return;
        dispute.isSuperseded = true;
        emit DisputeSuperseded(requestId);
    }

    /// @inheritdoc IDisputes
    function uphold(bytes32 requestId, address prover) external {
        if (msg.sender != address(COPROCESSOR)) revert NotCoprocessor(msg.sender);
        Dispute storage dispute = _disputes[requestId];
        if (dispute.openedAt == 0 || dispute.isSuperseded) revert WrongPhase(requestId, _phaseOf(dispute));
        dispute.isSuperseded = true;
        emit DisputeSuperseded(requestId);
        if (dispute.isAudit || dispute.isSettled) return;
        address[] memory provers = new address[](1);
        provers[0] = prover;
        _settle(requestId, dispute, Outcome.SUPERSEDED, provers);
    }

    // ---- drawing and voting -----------------------------------------------------------------------------------

    /// @inheritdoc IDisputes
    function draw(bytes32 requestId) external {
        Dispute storage dispute = _requirePhase(requestId, Phase.DRAWING);
        if (block.number <= dispute.seedBlock) revert SeedNotThere(dispute.seedBlock);
        uint256 eligible = dispute.eligible;
        uint256 size = _committeeSize(Sortition.countBits(eligible));
        bytes32 seed = keccak256(abi.encode(requestId, ChainLot.hashOf(dispute.seedBlock)));
        uint8[] memory seats = Sortition.draw(eligible, seed, size);
        address[] memory members = new address[](size);
        for (uint256 i; i < size; ++i) {
            (members[i],,) = OPERATORS.signerAt(seats[i]);
        }
        uint256 commitEndsAt = block.timestamp + COMMIT_SECONDS;
        dispute.members = members;
        dispute.commitEndsAt = uint48(commitEndsAt);
        dispute.revealEndsAt = uint48(commitEndsAt + REVEAL_SECONDS);
        emit CommitteeDrawn(requestId, members, uint64(commitEndsAt), uint64(commitEndsAt + REVEAL_SECONDS));
    }

    /// @inheritdoc IDisputes
    /// @dev The member is in what it commits to, so a copied commitment opens for nobody but whom it was copied from.
    function commitVote(bytes32 requestId, bytes32 commitment) external {
        Dispute storage dispute = _requirePhase(requestId, Phase.COMMITTING);
        address member = memberOf(requestId, msg.sender);
        if (commitment == 0) revert EmptyVote();
        Vote storage vote = _votes[requestId][member];
        if (vote.commitment != 0) revert AlreadyCommitted(requestId, member);
        vote.commitment = commitment;
        ++dispute.committed;
        emit VoteCommitted(requestId, member, commitment);
        if (dispute.committed == dispute.members.length) {
            dispute.commitEndsAt = uint48(block.timestamp);
            dispute.revealEndsAt = uint48(block.timestamp + REVEAL_SECONDS);
            emit RevealBegun(requestId, dispute.revealEndsAt);
        }
    }

    /// @inheritdoc IDisputes
    function revealVote(bytes32 requestId, bytes32 outputDigest, bytes32 salt) external {
        Dispute storage dispute = _requirePhase(requestId, Phase.REVEALING);
        address member = memberOf(requestId, msg.sender);
        if (outputDigest == 0) revert EmptyVote();
        Vote storage vote = _votes[requestId][member];
        if (vote.outputDigest != 0) revert AlreadyRevealed(requestId, member);
        bytes32 commitment = computeCommitment(requestId, member, outputDigest, salt);
        if (commitment != vote.commitment) revert CommitmentMismatch(vote.commitment, commitment);
        vote.outputDigest = outputDigest;
        ++dispute.revealed;
        emit VoteRevealed(requestId, member, outputDigest);
        if (dispute.revealed == dispute.committed) {
            dispute.revealEndsAt = uint48(block.timestamp);
            emit RevealEnded(requestId);
        }
    }

    // ---- bonds ------------------------------------------------------------------------------------------------

    /// @inheritdoc IDisputes
    function settleBond(bytes32 requestId) external {
        Ruling memory ruling = rulingOf(requestId);
        Dispute storage dispute = _disputes[requestId];
        if (ruling.outcome == Outcome.NONE || ruling.outcome == Outcome.OPEN) {
            revert WrongPhase(requestId, _phaseOf(dispute));
        }
        if (dispute.isSettled || dispute.isAudit) revert AlreadySettled(requestId);
        address[] memory beneficiaries = ruling.majority;
        if (ruling.outcome != Outcome.STANDS) {
            beneficiaries = new address[](1);
            beneficiaries[0] = ruling.outcome == Outcome.LAPSED ? BURNT : dispute.challenger;
        }
        _settle(requestId, dispute, ruling.outcome, beneficiaries);
    }

    /// @inheritdoc IDisputes
    function withdraw(address payable to) external {
        if (to == address(0)) revert ZeroAddress();
        uint256 amountWei = owedTo[msg.sender];
        if (amountWei == 0) revert NothingOwed(msg.sender);
        delete owedTo[msg.sender];
        emit BondWithdrawn(msg.sender, to, amountWei);
        (bool isSuccess,) = to.call{value: amountWei}("");
        if (!isSuccess) revert TransferFailed(to, amountWei);
    }

    // ---- reading ----------------------------------------------------------------------------------------------

    /// @inheritdoc IDisputes
    /// @dev More than half of the whole committee: who is absent counts against every output.
    function rulingOf(bytes32 requestId) public view returns (Ruling memory ruling) {
        Dispute storage dispute = _disputes[requestId];
        Phase phase = _phaseOf(dispute);
        if (phase == Phase.NONE) return ruling;
        ruling.challenger = dispute.challenger;
        if (dispute.isSuperseded) {
            ruling.outcome = Outcome.SUPERSEDED;
            return ruling;
        }
        if (phase != Phase.CLOSED || block.timestamp < dispute.provableUntil) {
            ruling.outcome = Outcome.OPEN;
            return ruling;
        }
        bool isDrawn = dispute.members.length != 0;
        ruling.closedAt = isDrawn ? dispute.revealEndsAt : dispute.openedAt + DRAW_SECONDS;
        if (ruling.closedAt < dispute.provableUntil) ruling.closedAt = dispute.provableUntil;
        if (!isDrawn) {
            ruling.outcome = Outcome.LAPSED;
            return ruling;
        }
        (ruling.outputDigest, ruling.majority) = _majorityOf(requestId, dispute.members);
        if (ruling.majority.length == 0) ruling.outcome = Outcome.NO_MAJORITY;
        else if (ruling.outputDigest == dispute.disputedDigest) ruling.outcome = Outcome.STANDS;
        else ruling.outcome = Outcome.REPLACED;
    }

    /// @inheritdoc IDisputes
    function infoOf(bytes32 requestId) external view returns (Info memory) {
        Dispute storage dispute = _disputes[requestId];
        return Info({
            phase: _phaseOf(dispute),
            isAudit: dispute.isAudit,
            challenger: dispute.challenger,
            disputedDigest: dispute.disputedDigest,
            seedBlock: dispute.seedBlock,
            drawEndsAt: dispute.openedAt == 0 ? 0 : dispute.openedAt + DRAW_SECONDS,
            commitEndsAt: dispute.commitEndsAt,
            revealEndsAt: dispute.revealEndsAt,
            members: dispute.members
        });
    }

    /// @inheritdoc IDisputes
    function voteOf(bytes32 requestId, address member) external view returns (Vote memory) {
        return _votes[requestId][member];
    }

    /// @inheritdoc IDisputes
    function isFaulty(bytes32 requestId, address member) external view returns (bool) {
        Ruling memory ruling = rulingOf(requestId);
        if (!_isAmong(member, _disputes[requestId].members)) return false;
        bytes32 voted = _votes[requestId][member].outputDigest;
        if (ruling.outcome == Outcome.NO_MAJORITY) return voted == 0;
        bool isRuled = ruling.outcome == Outcome.STANDS || ruling.outcome == Outcome.REPLACED;
        return isRuled && voted != ruling.outputDigest;
    }

    /// @inheritdoc IDisputes
    function memberOf(bytes32 requestId, address account) public view returns (address member) {
        address[] memory members = _disputes[requestId].members;
        if (_isAmong(account, members)) return account;
        member = OPERATORS.operatorOf(account);
        bool isKey = member != address(0) && OPERATORS.signerOf(member) == account;
        if (!isKey || !_isAmong(member, members)) revert NotMember(requestId, account);
    }

    /// @inheritdoc IDisputes
    function seedBlockOf(bytes32 requestId) external view returns (uint64) {
        Dispute storage dispute = _disputes[requestId];
        return dispute.openedAt == 0 ? 0 : uint64(ChainLot.blockOf(dispute.seedBlock));
    }

    /// @inheritdoc IDisputes
    /// @dev Only while the first block of the lot can be read, 256 blocks long: who could come back for every later lot
    ///      would have an answer audited in the end. Finalizing takes the lot of its own time, so an answer passes two
    ///      lots at most, and one where it is final within 256 blocks.
    function isAuditDue(bytes32 requestId) public view returns (bool) {
        if (AUDIT_ONE_IN == 0 || _disputes[requestId].openedAt != 0) return false;
        (, uint48 deliveredBlock) = COPROCESSOR.deliveryOf(requestId);
        (Status status,,,) = COPROCESSOR.statusOf(requestId);
        if (deliveredBlock == 0 || status != Status.PENDING) return false;
        uint256 first = deliveredBlock + ChainLot.DELAY_BLOCKS;
        return block.number > first && ChainLot.blockOf(first) == first && _isHit(requestId, first);
    }

    /// @inheritdoc IDisputes
    function computeCommitment(bytes32 requestId, address member, bytes32 outputDigest, bytes32 salt)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(requestId, member, outputDigest, salt));
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function _open(
        bytes32 requestId,
        bytes32 disputedDigest,
        address challenger,
        uint256 eligible,
        uint48 provableUntil,
        bool isAudit
    ) private {
        Dispute storage dispute = _disputes[requestId];
        if (dispute.openedAt != 0) revert AlreadyOpened(requestId);
        uint48 seedBlock = uint48(block.number + ChainLot.DELAY_BLOCKS);
        dispute.challenger = challenger;
        dispute.seedBlock = seedBlock;
        dispute.openedAt = uint48(block.timestamp);
        dispute.disputedDigest = disputedDigest;
        dispute.eligible = eligible;
        dispute.provableUntil = provableUntil;
        dispute.isAudit = isAudit;
        emit DisputeOpened(requestId, challenger, disputedDigest, isAudit, seedBlock);
    }

    /// @dev Whoever can prove has the window, and as long as a committee may take at most: it can be quick on purpose.
    function _provableUntil(bytes32 modelId, uint64 availableAt) private view returns (uint48) {
        if (COPROCESSOR.MODELS().circuitPointerOf(modelId) == address(0)) return 0;
        uint256 longest = block.timestamp + DRAW_SECONDS + COMMIT_SECONDS + REVEAL_SECONDS;
        return uint48(longest < availableAt ? availableAt : longest);
    }

    function _settle(bytes32 requestId, Dispute storage dispute, Outcome outcome, address[] memory beneficiaries)
        private
    {
        dispute.isSettled = true;
        (uint256 firstWei, uint256 shareWei) = FeeSplit.split(BOND_WEI, beneficiaries.length);
        for (uint256 i; i < beneficiaries.length; ++i) {
            owedTo[beneficiaries[i]] += i == 0 ? firstWei : shareWei;
        }
        emit BondSettled(requestId, outcome, beneficiaries, BOND_WEI);
    }

    function _requirePending(bytes32 requestId, bytes32 policy, address[] calldata beneficiaries)
        private
        view
        returns (bytes32 disputedDigest, uint64 availableAt)
    {
        Status status;
        (status,, disputedDigest, availableAt) = COPROCESSOR.statusOf(requestId);
        if (status != Status.PENDING) revert NotPending(requestId);
        if (!Policy.isDisputable(policy)) revert NotDisputable(policy);
        (bytes32 expected,) = COPROCESSOR.deliveryOf(requestId);
        bytes32 digest = keccak256(abi.encode(beneficiaries));
        if (digest != expected) revert BeneficiariesMismatch(expected, digest);
    }

    /// @dev A key and its operator are one.
    function _requireOthersAnswer(address[] calldata beneficiaries, address challenger) private view {
        address operator = _operatorFor(challenger);
        for (uint256 i; i < beneficiaries.length; ++i) {
            address beneficiary = beneficiaries[i];
            if (beneficiary == challenger || beneficiary == operator || _operatorFor(beneficiary) == operator) {
                revert OwnAnswer(beneficiary);
            }
        }
    }

    /// @dev The operator whose key the account is or was; else the account.
    function _operatorFor(address account) private view returns (address operator) {
        operator = OPERATORS.operatorOf(account);
        if (operator == address(0)) operator = account;
    }

    /// @dev The active seats of those who neither answered nor ask.
    function _eligible(address[] calldata beneficiaries, address challenger) private view returns (uint256 eligible) {
        eligible = OPERATORS.activeSeats() & ~_seatsOf(challenger);
        for (uint256 i; i < beneficiaries.length; ++i) {
            eligible &= ~_seatsOf(beneficiaries[i]);
        }
    }

    function _requireEligible(address[] calldata beneficiaries, address challenger)
        private
        view
        returns (uint256 eligible)
    {
        eligible = _eligible(beneficiaries, challenger);
        uint256 count = Sortition.countBits(eligible);
        if (count < MIN_COMMITTEE) revert CommitteeTooSmall(MIN_COMMITTEE, count);
    }

    /// @dev The account's own seat, and that of the operator whose key it is or was.
    function _seatsOf(address account) private view returns (uint256) {
        return OPERATORS.seatBitOf(account) | OPERATORS.seatBitOf(_operatorFor(account));
    }

    /// @dev COMMITTEE_SIZE, or the largest odd number of seats there are.
    function _committeeSize(uint256 eligible) private view returns (uint256) {
        if (eligible >= COMMITTEE_SIZE) return COMMITTEE_SIZE;
        return eligible % 2 == 1 ? eligible : eligible - 1;
    }

    function _isHit(bytes32 requestId, uint256 first) private view returns (bool) {
        return uint256(keccak256(abi.encode(requestId, ChainLot.hashOf(first)))) % AUDIT_ONE_IN == 0;
    }

    function _requirePhase(bytes32 requestId, Phase wanted) private view returns (Dispute storage dispute) {
        dispute = _disputes[requestId];
        Phase phase = _phaseOf(dispute);
        if (phase != wanted) revert WrongPhase(requestId, phase);
    }

    function _phaseOf(Dispute storage dispute) private view returns (Phase) {
        uint256 openedAt = dispute.openedAt;
        if (openedAt == 0) return Phase.NONE;
        if (dispute.isSuperseded) return Phase.CLOSED;
        if (dispute.commitEndsAt == 0) {
            return block.timestamp < openedAt + DRAW_SECONDS ? Phase.DRAWING : Phase.CLOSED;
        }
        if (block.timestamp < dispute.commitEndsAt) return Phase.COMMITTING;
        return block.timestamp < dispute.revealEndsAt ? Phase.REVEALING : Phase.CLOSED;
    }

    /// @dev The output named by more than half of `members`, and who named it; nothing when there is none.
    function _majorityOf(bytes32 requestId, address[] memory members)
        private
        view
        returns (bytes32 outputDigest, address[] memory majority)
    {
        bytes32[] memory digests = new bytes32[](members.length);
        for (uint256 i; i < members.length; ++i) {
            digests[i] = _votes[requestId][members[i]].outputDigest;
        }
        for (uint256 i; i < members.length; ++i) {
            if (digests[i] == 0) continue;
            majority = _votersOf(digests[i], digests, members);
            if (majority.length * 2 > members.length) return (digests[i], majority);
        }
        return (0, new address[](0));
    }

    function _votersOf(bytes32 digest, bytes32[] memory digests, address[] memory members)
        private
        pure
        returns (address[] memory voters)
    {
        voters = new address[](members.length);
        uint256 count;
        for (uint256 i; i < members.length; ++i) {
            if (digests[i] == digest) voters[count++] = members[i];
        }
        assembly ("memory-safe") {
            mstore(voters, count)
        }
    }

    function _isAmong(address wanted, address[] memory list) private pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == wanted) return true;
        }
        return false;
    }

    function _requireSound(Terms memory terms) private pure {
        bool isSizeSound = terms.committeeSize % 2 == 1 && terms.committeeSize >= MIN_COMMITTEE
            && terms.committeeSize <= MAX_COMMITTEE;
        bool areTimesSound = terms.drawSeconds != 0 && terms.commitSeconds != 0 && terms.revealSeconds != 0;
        if (terms.bondWei == 0 || !isSizeSound || !areTimesSound) revert TermsRejected();
    }
}
