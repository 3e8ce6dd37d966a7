// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {Sortition} from "../src/libraries/Sortition.sol";
import {DisputedAnswer} from "./DisputedAnswer.sol";
import {vm} from "./Vm.sol";

/// @title Drawing the committee: by a lot that nobody knows before and nobody can change
contract DisputeLotTest is DisputedAnswer {
    // ---- drawing ---------------------------------------------------------------------------------------------------

    /// @dev Over many lots: five distinct others, never a signer, never the challenger or its operator.
    function testFuzz_SignersAndChallengerAreNeverDrawn(uint256 number, uint8 by) public {
        vm.roll(1 + number % (1 << 40));
        uint256 i = 2 + by % 6;
        openAs(by % 2 == 0 ? operatorAt(i) : vm.addr(keyOf(i)), asked);
        address[] memory members = draw(id);
        vm.assertEq(members.length, 5);
        for (uint256 j; j < members.length; ++j) {
            vm.assertTrue(members[j] != operatorAt(0) && members[j] != operatorAt(1), "a signer");
            vm.assertTrue(members[j] != operatorAt(i), "the challenger");
            for (uint256 k; k < j; ++k) {
                vm.assertTrue(members[j] != members[k], "twice");
            }
        }
    }

    function test_TheLotIsDrawnOnceAndNotBeforeItsBlock() public {
        openAs(CHALLENGER, asked);
        uint256 seedBlock = vm.getBlockNumber() + 2;
        vm.roll(seedBlock);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.SeedNotThere.selector, seedBlock));
        disputes.draw(id);
        vm.roll(seedBlock + 1);
        disputes.draw(id);
        requirePhase(IDisputes.Phase.COMMITTING);
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.draw(id);
    }

    /// @dev In all of the first 256 blocks the same committee comes of it; nobody chooses by waiting.
    function test_WaitingChangesNothingWithinReach() public {
        openAs(CHALLENGER, asked);
        uint256 seedBlock = vm.getBlockNumber() + 2;
        bytes32 seed = keccak256(abi.encode(id, blockHashAt(seedBlock)));
        uint256 eligible = operators.activeSeats() & ~uint256(1 << seatIndexOf(0) | 1 << seatIndexOf(1));
        uint8[] memory seats = Sortition.draw(eligible, seed, 5);
        vm.roll(seedBlock + 256);
        vm.assertEq(disputes.seedBlockOf(id), seedBlock);
        disputes.draw(id);
        address[] memory members = disputes.infoOf(id).members;
        for (uint256 i; i < 5; ++i) {
            vm.assertEq(members[i], operatorAt(seats[i] / 10));
        }
    }

    /// @dev One of the schedule's blocks is in reach always: never stuck.
    function testFuzz_OutOfReachTheLotMovesOnTheSchedule(uint16 later) public {
        openAs(CHALLENGER, asked);
        uint256 seedBlock = vm.getBlockNumber() + 2;
        vm.roll(seedBlock + 1 + later);
        uint256 used = disputes.seedBlockOf(id);
        vm.assertEq((used - seedBlock) % 256, 0);
        vm.assertTrue(used < seedBlock + 1 + later && used + 256 >= seedBlock + 1 + later, "in reach");
        vm.assertTrue(blockhash(used) != 0, "its hash is there");
        disputes.draw(id);
        vm.assertEq(disputes.infoOf(id).members.length, 5);
    }

    function test_NotDrawnInTimeTheAnswerStandsAndTheBondIsNobodys() public {
        openAs(CHALLENGER, asked);
        vm.roll(vm.getBlockNumber() + 3);
        vm.warp(START + 600);
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.draw(id);
        requireOutcome(id, IDisputes.Outcome.LAPSED);
        vm.assertEq(disputes.rulingOf(id).closedAt, START + 600);
        disputes.settleBond(id);
        vm.assertEq(disputes.owedTo(BURNT), BOND_WEI);
        vm.warp(START + WINDOW);
        coprocessor.finalize(asked, LIE, answerers());
    }

    /// @dev Whoever is in the lot stays in it: leaving after the hash is known would choose the committee.
    function test_LeavingDoesNotChangeTheLot() public {
        openAs(CHALLENGER, asked);
        uint256 seedBlock = vm.getBlockNumber() + 2;
        bytes32 seed = keccak256(abi.encode(id, blockHashAt(seedBlock)));
        uint256 eligible = operators.activeSeats() & ~uint256(1 << seatIndexOf(0) | 1 << seatIndexOf(1));
        uint8 first = Sortition.draw(eligible, seed, 5)[0];
        vm.prank(operatorAt(first / 10));
        operators.beginExit();
        vm.assertEq(draw(id)[0], operatorAt(first / 10));
        commitAs(id, operatorAt(first / 10), TRUTH);
    }

    // ---- inside ----------------------------------------------------------------------------------------------------

    function requirePhase(IDisputes.Phase phase) private view {
        vm.assertEq(uint256(disputes.infoOf(id).phase), uint256(phase), "phase");
    }

    function blockHashAt(uint256 number) private returns (bytes32 hash) {
        uint256 now_ = vm.getBlockNumber();
        vm.roll(number + 1);
        hash = blockhash(number);
        vm.roll(now_);
    }
}
