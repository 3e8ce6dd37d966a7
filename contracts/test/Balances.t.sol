// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {ITreasury} from "../src/interfaces/ITreasury.sol";
import {Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {bound, vm} from "./Vm.sol";
import {ClosedPurse, GreedyPurse} from "./hostile/Wallets.sol";

/// @title Deposits and withdrawals
contract BalancesTest is Deployment {
    address payable private constant TO = payable(address(0x70));

    function testFuzz_WhatGoesInComesOut(uint96 inWei, uint96 outWei) public {
        coprocessor.deposit{value: inWei}();
        vm.assertEq(coprocessor.balanceOf(address(this)), inWei);
        outWei = uint96(bound(outWei, 0, inWei));
        vm.expectEmit(address(coprocessor));
        emit ICoprocessor.Withdrawn(address(this), TO, outWei);
        coprocessor.withdraw(outWei, TO);
        vm.assertEq(TO.balance, outWei);
        vm.assertEq(coprocessor.balanceOf(address(this)), inWei - outWei);
    }

    function test_NobodyTakesMoreThanTheyHave() public {
        coprocessor.deposit{value: 5}();
        coprocessor.depositFor{value: 100}(address(0xA11CE));
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.InsufficientBalance.selector, address(this), 5, 6));
        coprocessor.withdraw(6, TO);
    }

    function test_TheZeroAddressIsNobody() public {
        vm.expectRevert(ICoprocessor.ZeroRecipient.selector);
        coprocessor.depositFor{value: 1}(address(0));
        vm.expectRevert(ICoprocessor.ZeroRecipient.selector);
        coprocessor.withdraw(0, payable(address(0)));
    }

    function test_AFailedTransferTakesNothing() public {
        ClosedPurse purse = new ClosedPurse();
        coprocessor.depositFor{value: 7}(address(purse));
        vm.expectRevert(abi.encodeWithSelector(ITreasury.TransferFailed.selector, address(purse), 3));
        purse.withdraw(coprocessor, 3, payable(address(purse)));
        vm.assertEq(coprocessor.balanceOf(address(purse)), 7);
        purse.withdraw(coprocessor, 7, TO);
        vm.assertEq(TO.balance, 7);
    }

    function test_AGreedyPurseIsNotPaidTwice() public {
        GreedyPurse purse = new GreedyPurse(coprocessor);
        coprocessor.depositFor{value: 10}(address(purse));
        vm.expectPartialRevert(ITreasury.TransferFailed.selector);
        purse.withdraw(5);
        vm.assertEq(coprocessor.balanceOf(address(purse)), 10);
    }

    function test_ARequestIsPaidFromTheBalanceToo() public {
        coprocessor.deposit{value: 7}();
        Request memory asked = nextRequest(address(this), "x", quorumPolicy(1, 0), 5, 0);
        bytes32 id = coprocessor.requestFromBalance(
            modelId, "x", asked.policy, asked.feeWei, 0, asked.deadline, asked.refundTo
        );
        vm.assertEq(id, coprocessor.computeRequestId(asked));
        vm.assertEq(coprocessor.balanceOf(address(this)), 2);
        coprocessor.deliver(asked, "", "y", evidenceOf(asked, "y", 1));
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 5);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.Unpaid.selector, address(this), 3, 2));
        coprocessor.requestFromBalance(modelId, "x", asked.policy, 3, 0, asked.deadline, asked.refundTo);
    }

    function test_EtherSentWithoutACallIsRefused() public {
        (bool isSuccess,) = address(coprocessor).call{value: 1}("");
        vm.assertEq(isSuccess, false);
    }

    /// @dev Operators, requesters and refunds are credited, never paid directly: a receiver that fails harms itself
    ///      alone.
    function test_ABeneficiaryThatTakesNoEtherDoesNotBlockOthers() public {
        vm.etch(operatorAt(0), type(ClosedPurse).runtimeCode);
        Request memory asked = ask(address(0xA11CE), "x", quorumPolicy(2, 0), 10, 0);
        coprocessor.deliver(asked, "", "y", evidenceOf(asked, "y", 2));
        vm.prank(operatorAt(1));
        coprocessor.withdraw(5, TO);
        vm.assertEq(TO.balance, 5);
    }
}
