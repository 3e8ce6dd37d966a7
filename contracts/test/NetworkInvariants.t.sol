// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {vm} from "./Vm.sol";
import {Court} from "./hostile/Court.sol";
import {Network} from "./hostile/Network.sol";
import {World} from "./hostile/World.sol";

/// @title What holds over all contracts together: escrows, balances, stakes, slashes, windows, callbacks
contract NetworkInvariantsTest {
    World private world;
    Court private court;
    Network private network;

    function setUp() public {
        // By their artifacts: this contract would be longer than code may be with the code of both inside.
        world = World(create(vm.getCode("World.sol:World")));
        network = Network(create(bytes.concat(vm.getCode("Network.sol:Network"), abi.encode(world))));
        network.setUp();
        court = Court(create(bytes.concat(vm.getCode("Court.sol:Court"), abi.encode(world))));
        world.appoint(court);
    }

    /// @dev Read by forge: a step is one action of the world's, or one of the network's own.
    function targetSelectors() external view returns (Targeted[] memory targeted) {
        targeted = new Targeted[](1);
        targeted[0].addr = address(network);
        targeted[0].selectors = new bytes4[](2);
        (targeted[0].selectors[0], targeted[0].selectors[1]) = (Network.step.selector, Network.actReorganise.selector);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(network);
    }

    struct Targeted {
        address addr;
        bytes4[] selectors;
    }

    /// @dev Each run begins anew; the walk below goes further than a run of either length does.
    /// forge-config: default.invariant.runs = 8
    /// forge-config: default.invariant.depth = 80
    /// forge-config: all.invariant.runs = 256
    /// forge-config: all.invariant.depth = 150
    function invariant_NobodyGainsByLyingAndNothingIsLost() public view {
        requireMoneyIsAllThere();
        requireRequestsAreWhole();
        requireOnlyLiarsLose();
    }

    /// @dev The same actions on a walk of its own, which must come by everything that the campaign is about.
    function test_AWalkMeetsLiarsLeaversAndReorganisations() public {
        for (uint256 i; i < 700; ++i) {
            network.step(uint256(keccak256(abi.encode("network", i))));
            if (i % 25 == 0) network.actReorganise(uint256(keccak256(abi.encode("undone", i))), uint96(i));
            if (i % 100 == 0) invariant_NobodyGainsByLyingAndNothingIsLost();
        }
        vm.assertTrue(network.slashed() != 0, "nobody was slashed");
        vm.assertTrue(network.slashedWhileLeaving() != 0, "nobody was slashed on the way out");
        vm.assertTrue(network.exits() != 0, "nobody left");
        vm.assertTrue(network.returns_() != 0, "nobody came back");
        vm.assertTrue(network.undone() != 0, "nothing was undone");
        vm.assertTrue(world.challenged() != 0, "nothing was challenged");
        invariant_NobodyGainsByLyingAndNothingIsLost();
    }

    /// @dev Every wei in a contract is somebody's: a balance, an escrow, a stake, a reward, or burnt.
    function requireMoneyIsAllThere() private view {
        vm.assertEq(court.heldWei(), court.escrowedWei() + court.balancesWei(), "fees lost or found");
        vm.assertEq(court.bondsHeldWei(), court.bondsWei(), "bonds lost or found");
        vm.assertEq(court.stakesHeldWei(), court.stakesWei() + network.challengerWei(), "stakes lost or found");
        vm.assertEq(court.activeSeats(), court.seatsByStatus(), "active seats");
    }

    function requireRequestsAreWhole() private view {
        vm.assertLe(world.mostCallsForOneRequest(), 1, "told twice");
        vm.assertEq(world.callsBeforeFinal(), 0, "told before final, or another output");
        vm.assertEq(world.forbiddenTransitions(), 0, "a transition the state machine does not draw");
        vm.assertEq(world.changedOutputs(), 0, "an output changed");
        vm.assertEq(network.replayed(), 0, "evidence of another request, or a signature's twin, was accepted");
        vm.assertEq(network.survivedReorganisation(), 0, "an answer outlived its request");
    }

    function requireOnlyLiarsLose() private view {
        vm.assertEq(network.honestSlashed(), 0, "who signed the truth was slashed");
        vm.assertEq(network.slashedTwice(), 0, "slashed twice for one request");
        vm.assertEq(network.gainedByOwnLie(), 0, "a liar kept more than half");
        vm.assertEq(network.earlyExits(), 0, "a stake left before its time");
        vm.assertEq(network.countUnfitSigners(), 0, "a seat signs without its stake");
    }

    function create(bytes memory creation) private returns (address created) {
        assembly ("memory-safe") {
            created := create(0, add(creation, 0x20), mload(creation))
        }
        vm.assertTrue(created != address(0), "not created");
    }
}
