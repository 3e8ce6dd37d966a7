// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FeeSplit} from "../src/libraries/FeeSplit.sol";
import {bound, vm} from "./Vm.sol";

/// @title Everybody once, every wei once
contract FeeSplitTest {
    function testFuzz_SharesAddUpAndDifferByLessThanTheirNumber(uint256 feeWei, uint256 count) public pure {
        count = bound(count, 1, 300);
        (uint256 firstWei, uint256 shareWei) = FeeSplit.split(feeWei, count);
        vm.assertEq(firstWei + shareWei * (count - 1), feeWei);
        vm.assertTrue(firstWei >= shareWei && firstWei - shareWei < count, "the remainder is less than a share each");
    }

    function testFuzz_MergingKeepsOrderAndDropsRepetitions(uint8[6] calldata first, uint8[6] calldata second)
        public
        pure
    {
        address[] memory merged = FeeSplit.merge(FeeSplit.merge(new address[](0), toList(first)), toList(second));
        for (uint256 i; i < merged.length; ++i) {
            for (uint256 j; j < i; ++j) {
                vm.assertTrue(merged[i] != merged[j], "paid twice");
            }
        }
        requireContained(merged, toList(first));
        requireContained(merged, toList(second));
        vm.assertEq(merged[0], toList(first)[0]);
    }

    function test_TheZeroAddressIsNeverPaid() public {
        vm.expectRevert(FeeSplit.ZeroBeneficiary.selector);
        this.mergeWithZero();
    }

    function mergeWithZero() external pure returns (address[] memory) {
        return FeeSplit.merge(new address[](0), new address[](1));
    }

    function requireContained(address[] memory merged, address[] memory list) private pure {
        for (uint256 i; i < list.length; ++i) {
            bool isFound;
            for (uint256 j; j < merged.length; ++j) {
                isFound = isFound || merged[j] == list[i];
            }
            vm.assertTrue(isFound, "somebody is missing");
        }
    }

    function toList(uint8[6] calldata ids) private pure returns (address[] memory list) {
        list = new address[](6);
        for (uint256 i; i < 6; ++i) {
            list[i] = address(uint160(1 + (ids[i] % 8)));
        }
    }
}
