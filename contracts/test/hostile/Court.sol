// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Coprocessor} from "../../src/Coprocessor.sol";
import {Disputes} from "../../src/Disputes.sol";
import {FraudProofs} from "../../src/FraudProofs.sol";
import {OperatorRegistry} from "../../src/OperatorRegistry.sol";
import {IDisputes} from "../../src/interfaces/IDisputes.sol";
import {Policy} from "../../src/libraries/Policy.sol";
import {Claim, Request, ResultCode, Status} from "../../src/libraries/Types.sol";
import {vm} from "../Vm.sol";
import {World} from "./World.sol";

/// @title The people of a World, who also dispute, draw, vote, stay away, apply rulings, slash, fine, and stake anew
/// @notice A contract of its own for its size. What it does is watched there, and each change of state also here.
contract Court {
    uint256 private constant OPERATORS = 8;
    uint256 private constant ACTORS = 4;
    uint96 private constant MIN_STAKE_WEI = 1 ether;
    bytes32 private constant SALT = keccak256("salt");
    address private constant REFUND_TO = address(0xBEEF);
    address private constant BURNT = 0x000000000000000000000000000000000000dEaD;

    World private immutable WORLD;
    Coprocessor private coprocessor;
    Disputes private disputes;
    FraudProofs private frauds;
    OperatorRegistry private operators;

    mapping(bytes32 id => bool) private isSettled;
    mapping(bytes32 id => IDisputes.Outcome) private ruledOf;

    /// @dev How often each outcome was reached, and how often what follows from it happened.
    uint256[7] public ruled;
    /// @dev The same of audits alone.
    uint256[7] public auditsRuled;
    uint256 public forcedAudits;
    /// @dev Answers that became final because a committee upheld them, or because nobody drew one.
    uint256 public upheld;
    uint256 public upheldByProof;
    uint256 public lapsed;
    uint256 public replacements;
    /// @dev Refunds for want of a majority, and of the output that was ruled.
    uint256 public withdrawals;
    uint256 public withheld;
    uint256 public outvoted;
    uint256 public fines;
    uint256 public settlements;
    uint256 public changedRulings;

    uint256 public forbidden;

    constructor(World world) {
        WORLD = world;
    }

    function sit(Coprocessor coprocessor_, Disputes disputes_, FraudProofs frauds_, OperatorRegistry operators_)
        external
    {
        (coprocessor, disputes, frauds, operators) = (coprocessor_, disputes_, frauds_, operators_);
    }

    // ---- actions ----------------------------------------------------------------------------------------------

    /// @dev By an operator or by somebody else; with fewer or other beneficiaries it is refused.
    function actOpen(uint256 which, uint8 signers, uint8 actor) external {
        if (WORLD.count() == 0) return;
        address who = actor % 2 == 0 ? operatorAt(actor) : personAt(actor);
        Request memory asked = WORLD.pendingAt(which);
        bytes32 id = coprocessor.computeRequestId(asked);
        bool isDisputable = statusOf(id) == Status.PENDING && Policy.isDisputable(asked.policy);
        vm.deal(who, 0.1 ether);
        vm.prank(who);
        try disputes.open{value: 0.1 ether}(asked, firstOperators(signers % (OPERATORS + 1))) {
            requireAllowed(isDisputable);
        } catch {}
        WORLD.watchFor(0);
    }

    function actOpenAudit(uint256 which, uint8 signers) external {
        if (WORLD.count() == 0) return;
        Request memory asked = WORLD.pendingAt(which);
        bool isDue = disputes.isAuditDue(coprocessor.computeRequestId(asked));
        vm.prank(personAt(signers));
        try disputes.openAudit(asked, firstOperators(signers % (OPERATORS + 1))) {
            requireAllowed(isDue);
        } catch {}
        WORLD.watchFor(0);
    }

    function actDraw(uint256 which) external {
        try disputes.draw(disputeFrom(which, IDisputes.Phase.DRAWING)) {} catch {}
        WORLD.watchFor(0);
    }

    /// @dev Of each member three bits of `seed` say whether it stays away, goes with most, or against them.
    function actCommit(uint256 which, uint256 seed) external {
        bytes32 id = disputeFrom(which, IDisputes.Phase.COMMITTING);
        address[] memory members = disputes.infoOf(id).members;
        for (uint256 i; i < members.length; ++i) {
            uint256 mood = seed >> (3 * i) & 7;
            if (mood == 0) continue;
            bool isOne = (mood < 7) == (seed >> 96 & 1 == 0);
            bytes32 digest = keccak256(isOne ? bytes("one") : bytes("another"));
            bytes32 commitment = disputes.computeCommitment(id, members[i], digest, SALT);
            vm.prank(members[i]);
            try disputes.commitVote(id, commitment) {} catch {}
        }
        WORLD.watchFor(0);
    }

    function actReveal(uint256 which, uint256 seed) external {
        bytes32 id = disputeFrom(which, IDisputes.Phase.REVEALING);
        address[] memory members = disputes.infoOf(id).members;
        for (uint256 i; i < members.length; ++i) {
            if (seed >> (3 * i) & 7 == 0) continue;
            vm.prank(members[i]);
            try disputes.revealVote(id, keccak256("one"), SALT) {} catch {}
            vm.prank(members[i]);
            try disputes.revealVote(id, keccak256("another"), SALT) {} catch {}
        }
        WORLD.watchFor(0);
    }

    function actApply(uint256 which, bool isOther) external {
        if (WORLD.count() == 0) return;
        Request memory asked = WORLD.requestAt(ruledFrom(which));
        bytes32 id = coprocessor.computeRequestId(asked);
        IDisputes.Outcome outcome = disputes.rulingOf(id).outcome;
        bool isPending = statusOf(id) == Status.PENDING;
        bool isReplaced;
        try coprocessor.applyRuling(asked, isOther ? bytes("one") : bytes("another")) returns (ResultCode code) {
            requireAllowed(isPending);
            isReplaced = code != ResultCode.CLOSED;
            if (isReplaced) ++replacements;
            else if (outcome == IDisputes.Outcome.NO_MAJORITY) ++withdrawals;
            else ++withheld;
            requireAllowed(!isReplaced || outcome == IDisputes.Outcome.REPLACED);
        } catch {}
        WORLD.watchFor(isReplaced ? id : bytes32(0));
    }

    /// @dev Nobody shows the output for a day; then somebody applies the ruling without it.
    function actWithhold(uint256 which) external {
        if (WORLD.count() == 0) return;
        bytes32 id = coprocessor.computeRequestId(WORLD.requestAt(ruledFrom(which)));
        IDisputes.Ruling memory ruling = disputes.rulingOf(id);
        if (ruling.outcome != IDisputes.Outcome.REPLACED || statusOf(id) != Status.PENDING) return;
        vm.warp(uint256(ruling.closedAt) + 1 days);
        this.actApply(which, ruling.outputDigest != keccak256("one"));
    }

    function actSettle(uint256 which) external {
        if (WORLD.count() == 0) return;
        bytes32 id = coprocessor.computeRequestId(WORLD.requestAt(which));
        IDisputes.Outcome outcome = disputes.rulingOf(id).outcome;
        bool isAudit = disputes.infoOf(id).isAudit;
        try disputes.settleBond(id) {
            requireAllowed(!isSettled[id] && !isAudit && uint256(outcome) > uint256(IDisputes.Outcome.OPEN));
            isSettled[id] = true;
            ++settlements;
        } catch {}
    }

    function actWithdrawBond(uint8 actor, bool isOperator) external {
        vm.prank(isOperator ? operatorAt(actor) : personAt(actor));
        try disputes.withdraw(payable(address(0xD00D))) {} catch {}
    }

    function actOutvoted(uint256 which, uint8 actor, bool isOther) external {
        if (WORLD.count() == 0) return;
        Request memory asked = WORLD.requestAt(which);
        bytes memory output = isOther ? bytes("one") : bytes("another");
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = sign(actor, asked, output);
        IDisputes.Ruling memory ruling = disputes.rulingOf(coprocessor.computeRequestId(asked));
        try frauds.proveOutvoted(asked, keccak256(output), signatures) {
            ++outvoted;
            requireAllowed(ruling.outcome == IDisputes.Outcome.REPLACED && ruling.outputDigest != keccak256(output));
        } catch {}
    }

    function actFine(uint256 which, uint8 actor) external {
        if (WORLD.count() == 0) return;
        bytes32 id = coprocessor.computeRequestId(WORLD.requestAt(which));
        IDisputes.Ruling memory ruling = disputes.rulingOf(id);
        bool wasFined = frauds.wasFined(id, operatorAt(actor));
        try frauds.penalizeVoter(id, operatorAt(actor)) {
            ++fines;
            requireAllowed(!wasFined && isAtFault(id, ruling, operatorAt(actor)));
        } catch {}
    }

    /// @dev Whoever was slashed or fined below the least stake makes up for it.
    function actStake(uint8 actor) external {
        address operator = operatorAt(actor);
        uint256 stakeWei = operators.stakeOf(operator);
        if (stakeWei >= MIN_STAKE_WEI) return;
        WORLD.raiseStake(operator, MIN_STAKE_WEI - stakeWei);
    }

    /// @dev One of the actions above, chosen with all its arguments by `seed`.
    function act(uint256 seed) external {
        (uint256 a, uint8 b) = (seed >> 8 & type(uint32).max, uint8(seed >> 40) & 127);
        bool isOdd = seed >> 255 == 1;
        bytes[17] memory calls = [
            abi.encodeCall(this.actOpen, (a, b, uint8(a))),
            abi.encodeCall(this.actOpenAudit, (a, b)),
            abi.encodeCall(this.actDraw, (a)),
            abi.encodeCall(this.actCommit, (a, seed >> 128)),
            abi.encodeCall(this.actReveal, (a, seed >> 128)),
            abi.encodeCall(this.actApply, (a, isOdd)),
            abi.encodeCall(this.actSettle, (a)),
            abi.encodeCall(this.actWithdrawBond, (b, isOdd)),
            abi.encodeCall(this.actOutvoted, (a, b, isOdd)),
            abi.encodeCall(this.actFine, (a, b)),
            abi.encodeCall(this.actStake, (b)),
            abi.encodeCall(this.actDraw, (a + 1)),
            abi.encodeCall(this.actCommit, (a + 1, seed >> 140)),
            abi.encodeCall(this.actReveal, (a + 1, seed >> 140)),
            abi.encodeCall(this.actOutvoted, (a + 1, b + 1, !isOdd)),
            abi.encodeCall(this.actApply, (a + 1, !isOdd)),
            abi.encodeCall(this.actWithhold, (a))
        ];
        (bool isSuccess,) = address(this).call(calls[seed % calls.length]);
        require(isSuccess, "an action failed");
    }

    // ---- watching ---------------------------------------------------------------------------------------------

    function heldWei() external view returns (uint256) {
        return WORLD.heldBy(address(coprocessor));
    }

    function escrowedWei() external view returns (uint256 sumWei) {
        for (uint256 i; i < WORLD.count(); ++i) {
            Request memory asked = WORLD.requestAt(i);
            Status status = statusOf(coprocessor.computeRequestId(asked));
            if (status == Status.REQUESTED || status == Status.PENDING) sumWei += asked.feeWei;
        }
    }

    function balancesWei() external view returns (uint256) {
        return coprocessor.balanceOf(REFUND_TO) + sumOf(coprocessor.balanceOf);
    }

    /// @dev Bonds that are not settled, and what is owed.
    function bondsWei() external view returns (uint256 sumWei) {
        for (uint256 i; i < WORLD.count(); ++i) {
            bytes32 id = coprocessor.computeRequestId(WORLD.requestAt(i));
            IDisputes.Info memory info = disputes.infoOf(id);
            if (info.phase != IDisputes.Phase.NONE && !info.isAudit && !isSettled[id]) sumWei += 0.1 ether;
        }
        return sumWei + sumOf(disputes.owedTo);
    }

    function bondsHeldWei() external view returns (uint256) {
        return address(disputes).balance;
    }

    /// @dev Stakes, and what slashes and fines are owed to.
    function stakesWei() external view returns (uint256 sumWei) {
        for (uint256 i; i < OPERATORS; ++i) {
            sumWei += operators.stakeOf(operatorAt(i));
        }
        return sumWei + sumOf(operators.owedTo);
    }

    function stakesHeldWei() external view returns (uint256) {
        return WORLD.heldBy(address(operators));
    }

    function seatsByStatus() external view returns (uint256 bitmap) {
        for (uint256 i; i < 256; ++i) {
            (,, bool isActive) = operators.signerAt(uint8(i));
            if (isActive) bitmap |= uint256(1) << i;
        }
    }

    function activeSeats() external view returns (uint256) {
        return operators.activeSeats();
    }

    /// @dev Called by the world for every disputable request after every action, here and there.
    function look(bytes32 id, Status from, Status status, bool isReplaced) external {
        IDisputes.Ruling memory ruling = disputes.rulingOf(id);
        IDisputes.Outcome before = ruledOf[id];
        if (ruling.outcome != before) {
            ++ruled[uint256(ruling.outcome)];
            if (disputes.infoOf(id).isAudit) ++auditsRuled[uint256(ruling.outcome)];
            // The world finalizes; nobody of it opens audits.
            if (ruling.outcome == IDisputes.Outcome.OPEN && ruling.challenger == address(WORLD)) ++forcedAudits;
            if (ruling.outcome == IDisputes.Outcome.SUPERSEDED) noteProof(id, isReplaced);
            // Settled for good, unless a proof comes over it.
            bool isForward =
                uint256(before) <= uint256(IDisputes.Outcome.OPEN) || ruling.outcome == IDisputes.Outcome.SUPERSEDED;
            if (!isForward) ++changedRulings;
            ruledOf[id] = ruling.outcome;
        }
        if (from != Status.PENDING || status == Status.PENDING) return;
        bool isUpheld = ruling.outcome != IDisputes.Outcome.REPLACED && ruling.outcome != IDisputes.Outcome.NO_MAJORITY;
        if (status == Status.FINAL && !isReplaced) requireAllowed(isUpheld);
        if (status == Status.FINAL && ruling.outcome == IDisputes.Outcome.STANDS) ++upheld;
        if (status == Status.FINAL && ruling.outcome == IDisputes.Outcome.LAPSED) ++lapsed;
        if (!isReplaced && ruling.outcome == IDisputes.Outcome.SUPERSEDED) ++upheldByProof;
        if (status == Status.REFUNDED) {
            bool isWithheld =
                ruling.outcome == IDisputes.Outcome.REPLACED && block.timestamp >= ruling.closedAt + 1 days;
            requireAllowed(isWithheld || ruling.outcome == IDisputes.Outcome.NO_MAJORITY);
        }
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    /// @dev The bond of an answer that a proof upheld is the prover's at once.
    function noteProof(bytes32 id, bool isReplaced) private {
        if (!isReplaced && !disputes.infoOf(id).isAudit) isSettled[id] = true;
    }

    /// @dev A member who did not reveal, or, where there is a majority, voted otherwise.
    function isAtFault(bytes32 id, IDisputes.Ruling memory ruling, address member) private view returns (bool) {
        bytes32 voted = disputes.voteOf(id, member).outputDigest;
        if (ruling.outcome == IDisputes.Outcome.NO_MAJORITY) return voted == 0;
        bool isRuled = ruling.outcome == IDisputes.Outcome.STANDS || ruling.outcome == IDisputes.Outcome.REPLACED;
        return isRuled && voted != ruling.outputDigest;
    }

    function requireAllowed(bool isAllowed) private {
        if (!isAllowed) ++forbidden;
    }

    function sumOf(function(address) external view returns (uint256) owedTo) private view returns (uint256 sumWei) {
        sumWei = owedTo(BURNT) + owedTo(address(this)) + owedTo(address(WORLD)); // who finalized, and so opened audits
        for (uint256 i; i < OPERATORS; ++i) {
            sumWei += owedTo(operatorAt(i));
        }
        for (uint256 i; i < ACTORS; ++i) {
            sumWei += owedTo(personAt(i));
        }
    }

    /// @dev The names of Deployment and World.
    function operatorAt(uint256 i) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("operator", i % OPERATORS)))));
    }

    function personAt(uint256 i) private pure returns (address) {
        return vm.addr(uint256(keccak256(abi.encode("requester", i % ACTORS))));
    }

    function sign(uint256 i, Request memory asked, bytes memory output) private view returns (bytes memory) {
        bytes32 id = coprocessor.computeRequestId(asked);
        Claim memory claim = Claim(id, asked.modelId, asked.inputDigest, keccak256(output));
        uint256 key = uint256(keccak256(abi.encode("signing key", i % OPERATORS)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, coprocessor.computeClaimDigest(claim));
        return abi.encodePacked(r, s, v);
    }

    function statusOf(bytes32 id) private view returns (Status status) {
        (status,,,) = coprocessor.statusOf(id);
    }

    function firstOperators(uint256 count) private pure returns (address[] memory list) {
        list = new address[](count);
        for (uint256 i; i < count; ++i) {
            list[i] = operatorAt(i);
        }
    }

    /// @dev The first dispute from `which` on that is in `phase`; some request's id when there is none.
    function disputeFrom(uint256 which, IDisputes.Phase phase) private view returns (bytes32 id) {
        uint256 count = WORLD.count();
        for (uint256 i; i < count; ++i) {
            id = coprocessor.computeRequestId(WORLD.requestAt((which >> 1) + i));
            if (disputes.infoOf(id).phase == phase) return id;
        }
    }

    /// @dev The first pending request from `which` on that a committee ruled over; `which` itself when there is none.
    function ruledFrom(uint256 which) private view returns (uint256 index) {
        uint256 count = WORLD.count();
        for (uint256 i; i < count; ++i) {
            index = (which >> 1) + i;
            bytes32 id = coprocessor.computeRequestId(WORLD.requestAt(index));
            IDisputes.Outcome outcome = ruledOf[id];
            bool isRuled = outcome == IDisputes.Outcome.REPLACED || outcome == IDisputes.Outcome.NO_MAJORITY;
            if (isRuled && statusOf(id) == Status.PENDING) return index;
        }
        return which;
    }
}
