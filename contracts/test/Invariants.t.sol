// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {Court} from "./hostile/Court.sol";
import {World} from "./hostile/World.sol";

/// @title What holds whatever anybody does, in any order
contract InvariantsTest {
    World private world;
    Court private court;

    function setUp() public {
        world = World(create(vm.getCode(worldArtifact())));
        world.setUp();
        court = Court(create(bytes.concat(vm.getCode("Court.sol:Court"), abi.encode(world))));
        world.appoint(court);
    }

    /// @dev Both in this contract's own code would make it larger than a contract may be.
    function create(bytes memory creation) private returns (address created) {
        assembly {
            created := create(0, add(creation, 0x20), mload(creation))
        }
        vm.assertTrue(created != address(0), "created");
    }

    function worldArtifact() internal pure virtual returns (string memory) {
        return "World.sol:World";
    }

    /// @dev Read by forge: only the world's actions are called.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](2);
        (targets[0], targets[1]) = (address(world), address(court));
    }

    function excludeSelectors() external view returns (Excluded[] memory excluded) {
        excluded = new Excluded[](2);
        excluded[0].addr = address(world);
        excluded[0].selectors = new bytes4[](6);
        excluded[0].selectors[0] = Deployment.setUp.selector;
        excluded[0].selectors[1] = World.recordCall.selector;
        excluded[0].selectors[2] = World.act.selector;
        excluded[0].selectors[3] = World.appoint.selector;
        excluded[0].selectors[4] = World.watchFor.selector;
        excluded[0].selectors[5] = World.raiseStake.selector;
        excluded[1].addr = address(court);
        excluded[1].selectors = new bytes4[](3);
        excluded[1].selectors[0] = Court.sit.selector;
        excluded[1].selectors[1] = Court.look.selector;
        excluded[1].selectors[2] = Court.act.selector;
    }

    struct Excluded {
        address addr;
        bytes4[] selectors;
    }

    /// @dev One campaign for all of them; each names itself when it breaks.
    function invariant_NothingIsLostRepeatedOrUndone() public view {
        requireEscrowsAndBalancesAreAllThatIsHeld();
        requireNoConsumerIsToldTwice();
        requireStatesOnlyMoveForward();
        requireOutputsDoNotChange();
        requireBondsAndStakesAreAllThatIsHeld();
        requireRulingsDoNotChange();
        vm.assertEq(court.activeSeats(), court.seatsByStatus(), "active seats");
    }

    /// @dev The same actions on a walk of its own, which must come through every state: a campaign that does not reach
    ///      them would hold every invariant and mean nothing.
    function test_AWalkReachesEveryStateAndHoldsEveryInvariant() public {
        for (uint256 step; step < 1200; ++step) {
            world.act(uint256(keccak256(abi.encode("walk", step))));
        }
        for (Status status = Status.REQUESTED; status < Status.CANCELLED; status = Status(uint256(status) + 1)) {
            vm.assertTrue(world.reached(uint256(status)) != 0, vm.toString(uint256(status)));
        }
        vm.assertTrue(world.reached(uint256(Status.CANCELLED)) != 0, "nothing was cancelled");
        vm.assertTrue(world.retried() != 0, "no callback was retried");
        vm.assertTrue(world.challenged() != 0, "nothing was challenged");
        invariant_NothingIsLostRepeatedOrUndone();
    }

    /// @dev Cases, one after the other, each through the steps of a dispute in their order, any step left out now and
    ///      then, by whom and for what as it happens: so every outcome comes, with what follows from it.
    function test_AWalkReachesEveryOutcomeOfDisputes() public {
        walk("disputes", 3);
        for (uint256 outcome = 1; outcome < 7; ++outcome) {
            vm.assertTrue(court.ruled(outcome) != 0, vm.toString(outcome));
        }
        vm.assertTrue(court.upheld() != 0, "nothing was final because it was upheld");
        vm.assertTrue(court.upheldByProof() != 0, "nothing was final because a proof upheld it");
        vm.assertTrue(court.settlements() != 0, "no bond was settled");
        requireConsequences();
    }

    /// @dev The same of audits, which nobody forces but the lottery.
    function test_AWalkReachesEveryOutcomeOfAudits() public {
        walk("audits", 2);
        for (uint256 outcome = 1; outcome < 7; ++outcome) {
            vm.assertTrue(court.auditsRuled(outcome) != 0, vm.toString(outcome));
        }
        vm.assertTrue(court.forcedAudits() != 0, "finalizing forced no audit");
        requireConsequences();
    }

    function requireConsequences() private view {
        vm.assertTrue(court.lapsed() != 0, "nothing was final because nobody drew");
        vm.assertTrue(court.replacements() != 0, "nothing was replaced");
        vm.assertTrue(court.withdrawals() != 0, "nothing was refunded for want of a majority");
        vm.assertTrue(court.withheld() != 0, "nothing was refunded for want of the output");
        vm.assertTrue(court.outvoted() != 0, "no signer was slashed");
        vm.assertTrue(court.fines() != 0, "no voter was fined");
        invariant_NothingIsLostRepeatedOrUndone();
    }

    /// @dev Of `kinds` the first two are audits.
    function walk(string memory name, uint256 kinds) private {
        for (uint256 i; i < 80; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(name, i)));
            bool isTrue = openCase(seed, kinds == 2 ? i % 2 : 2);
            closeCase(seed, isTrue);
            if (i % 10 == 0) invariant_NothingIsLostRepeatedOrUndone();
        }
    }

    /// @dev An answer by two of eight operators, disputed, audited before it is due, or by whoever finalizes it.
    function openCase(uint256 seed, uint256 kind) private returns (bool isTrue) {
        uint256 a = seed >> 16 & type(uint32).max;
        isTrue = seed >> 100 & 1 == 0;
        world.actAsk(a, uint96(2 + a % 1000 * 2), 1, true, a % 4 == 0);
        uint256 last = world.count() - 1;
        world.actDeliver(last, 2, isTrue, 1_000_000);
        world.actWait(3);
        if (kind == 0) court.actOpenAudit(last, 2);
        if (kind == 2) court.actOpen(last, 2, uint8(a));
        if (kind != 1) return isTrue;
        pass(603);
        world.actFinalize(last, 2, isTrue);
    }

    /// @dev What is open from earlier cases is met again at each step.
    function closeCase(uint256 seed, bool isTrue) private {
        uint256 last = world.count() - 1;
        world.actWait(3);
        if (seed >> 120 & 7 != 0) court.actDraw(last << 1);
        court.actCommit(last << 1, seed >> 128);
        // A proof, of another output or of this one, in one case of eight.
        if (seed >> 123 & 7 == 0) world.actChallenge(last, uint8(seed >> 16), true, 1_000_000);
        pass(300);
        court.actReveal(last << 1, seed >> 131);
        pass(600);
        // What a ruling names is shown most of the time.
        if (court.replacements() > 2 * court.withheld()) court.actWithhold(last << 1);
        court.actApply(last << 1, true);
        court.actApply(last << 1, false);
        court.actSettle(last);
        for (uint8 i; i < 8; ++i) {
            court.actOutvoted(last, i, isTrue);
            court.actFine(last, i);
            court.actStake(i);
        }
        world.actFinalize(last, 2, isTrue);
        court.actWithdrawBond(uint8(seed >> 16), seed >> 17 & 1 == 0);
        court.act(seed >> 32);
    }

    function pass(uint256 seconds_) private {
        for (; seconds_ != 0; seconds_ -= seconds_ < 299 ? seconds_ : 299) {
            world.actWait(uint16(seconds_ < 299 ? seconds_ : 299));
        }
    }

    /// @dev Every wei held is in somebody's balance or in the escrow of a request that is not settled.
    function requireEscrowsAndBalancesAreAllThatIsHeld() private view {
        vm.assertEq(court.heldWei(), court.escrowedWei() + court.balancesWei(), "wei lost or found");
    }

    /// @dev A consumer is told at most once per request, and only about requests that are final.
    function requireNoConsumerIsToldTwice() private view {
        vm.assertLe(world.mostCallsForOneRequest(), 1, "told twice");
        vm.assertEq(world.callsBeforeFinal(), 0, "told before final, or another output");
    }

    /// @dev Every change of state seen is one the state machine draws.
    function requireStatesOnlyMoveForward() private view {
        vm.assertEq(court.forbidden(), 0, "an act that the rules do not allow");
        vm.assertEq(world.forbiddenTransitions(), 0, "a transition the state machine does not draw");
    }

    /// @dev Every bond is in the till until it is settled, then owed; every stake is an operator's, or owed.
    function requireBondsAndStakesAreAllThatIsHeld() private view {
        vm.assertEq(court.bondsHeldWei(), court.bondsWei(), "bonds lost or found");
        vm.assertEq(court.stakesHeldWei(), court.stakesWei(), "stakes lost or found");
    }

    /// @dev What a committee ruled stays ruled, unless a proof comes over it.
    function requireRulingsDoNotChange() private view {
        vm.assertEq(court.changedRulings(), 0, "a ruling changed");
    }

    /// @dev An output accepted once stays the output, unless a challenge or a ruling replaces it, or takes it back,
    ///      while it is pending.
    function requireOutputsDoNotChange() private view {
        vm.assertEq(world.changedOutputs(), 0, "an output changed");
    }
}

/// @title The same, where fees are paid in a token
contract TokenInvariantsTest is InvariantsTest {
    function worldArtifact() internal pure override returns (string memory) {
        return "World.sol:TokenWorld";
    }
}
