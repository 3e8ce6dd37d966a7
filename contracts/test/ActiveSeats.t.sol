// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title The bitmap of active seats is what the seats' statuses say; committees are drawn from it
contract ActiveSeatsTest is Deployment {
    /// @dev Whatever happens to a seat, the bitmap says what the statuses say.
    function testFuzz_ActiveSeatsAreThoseThatAreActive(uint256 acts) public {
        requireSeatsAsTheirStatuses();
        for (; acts != 0; acts >>= 6) {
            (uint256 i, uint256 what) = (acts & 7, acts >> 3 & 7);
            if (operators.seatBitOf(operatorAt(i)) == 0) continue;
            (, IOperatorRegistry.Seat memory seat_) = operators.operatorInfo(operatorAt(i));
            bool isExiting = seat_.status == IOperatorRegistry.SeatStatus.EXITING;
            if (what < 3) slash(operatorAt(i), uint256(seat_.stakeWei) * what / 2);
            vm.deal(operatorAt(i), MIN_STAKE_WEI);
            vm.prank(operatorAt(i));
            if (what > 2 && what < 6 && !isExiting) operators.addStake{value: MIN_STAKE_WEI}();
            else if (what > 5 && !isExiting) operators.beginExit();
            else if (isExiting && vm.getBlockTimestamp() >= seat_.exitAt) operators.withdrawStake(payable(OWNER));
            else operators.signerOf(operatorAt(i));
            if (what == 7) vm.warp(vm.getBlockTimestamp() + UNBONDING_SECONDS / 2);
            requireSeatsAsTheirStatuses();
        }
    }

    function requireSeatsAsTheirStatuses() private view {
        uint256 bitmap;
        for (uint256 index; index < 256; ++index) {
            (,, bool isActive) = operators.signerAt(uint8(index));
            if (isActive) bitmap |= uint256(1) << index;
        }
        vm.assertEq(operators.activeSeats(), bitmap);
    }

    function slash(address operator, uint256 amountWei) private {
        vm.prank(address(frauds));
        operators.slash(operator, amountWei, OWNER);
    }
}
