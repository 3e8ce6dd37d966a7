// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {Request} from "../src/libraries/Types.sol";
import {DisputedAnswer} from "./DisputedAnswer.sol";
import {vm} from "./Vm.sol";

/// @dev Calls back into whatever it is paid by.
contract GreedyVoter {
    IDisputes private immutable DISPUTES;
    bytes4 public refusal;

    constructor(IDisputes disputes) {
        DISPUTES = disputes;
    }

    function open(Request calldata asked, address[] calldata beneficiaries) external payable {
        DISPUTES.open{value: msg.value}(asked, beneficiaries);
    }

    function withdraw() external {
        DISPUTES.withdraw(payable(address(this)));
    }

    receive() external payable {
        try DISPUTES.withdraw(payable(address(this))) {}
        catch (bytes memory reason) {
            refusal = bytes4(reason);
        }
    }
}

/// @title What a dispute comes to, and whose the bond is then
contract DisputeBondsTest is DisputedAnswer {
    // ---- rulings and bonds -----------------------------------------------------------------------------------------

    function test_ThreeOfFiveIsAMajorityAndTwoIsNone() public {
        dispute(asked, TRUTH, 3, LIE, 2);
        requireOutcome(id, IDisputes.Outcome.REPLACED);
        vm.assertEq(disputes.rulingOf(id).outputDigest, keccak256(TRUTH));
        vm.assertEq(disputes.rulingOf(id).majority.length, 3);
        bytes32 next = dispute(deliverDisputable(LIE), LIE, 2, TRUTH, 2); // one is absent
        requireOutcome(next, IDisputes.Outcome.NO_MAJORITY);
        next = dispute(deliverDisputable(LIE), TRUTH, 2, LIE, 0); // of two who came, all: not of the committee
        requireOutcome(next, IDisputes.Outcome.NO_MAJORITY);
        next = dispute(deliverDisputable(LIE), TRUTH, 0, LIE, 3);
        requireOutcome(next, IDisputes.Outcome.STANDS);
    }

    function test_AFalseDisputeCostsTheBond() public {
        dispute(asked, TRUTH, 1, LIE, 3);
        address[] memory majority = disputes.rulingOf(id).majority;
        vm.assertEq(majority.length, 3);
        disputes.settleBond(id);
        vm.assertEq(disputes.owedTo(CHALLENGER), 0);
        vm.assertEq(disputes.owedTo(majority[0]), BOND_WEI / 3 + 1);
        vm.assertEq(disputes.owedTo(majority[1]), BOND_WEI / 3);
        vm.assertEq(disputes.owedTo(majority[2]), BOND_WEI / 3);
        vm.prank(majority[0]);
        disputes.withdraw(payable(majority[0]));
        vm.assertEq(majority[0].balance, BOND_WEI / 3 + 1);
    }

    function test_TheBondComesBackWhenTheChallengerWasRightOrNobodyAgrees() public {
        dispute(asked, TRUTH, 5, LIE, 0);
        disputes.settleBond(id);
        vm.assertEq(disputes.owedTo(CHALLENGER), BOND_WEI);
        bytes32 next = dispute(deliverDisputable(LIE), TRUTH, 0, LIE, 0);
        requireOutcome(next, IDisputes.Outcome.NO_MAJORITY);
        disputes.settleBond(next);
        vm.assertEq(disputes.owedTo(CHALLENGER), 2 * BOND_WEI);
    }

    function test_ABondIsSettledOnceAndNotWhileOpen() public {
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.settleBond(id); // there is none
        openAs(CHALLENGER, asked);
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.settleBond(id);
        draw(id);
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.settleBond(id);
        vote(id, TRUTH, 5, LIE, 0);
        disputes.settleBond(id);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadySettled.selector, id));
        disputes.settleBond(id);
        vm.assertEq(disputes.owedTo(CHALLENGER), BOND_WEI);
    }

    function test_WithdrawingIsNotReentered() public {
        GreedyVoter greedy = new GreedyVoter(disputes);
        Request memory other = deliverDisputable(LIE);
        vm.deal(address(this), 2 * BOND_WEI);
        greedy.open{value: BOND_WEI}(asked, answerers());
        openAs(CHALLENGER, other); // another's bond is in the till
        draw(id);
        vote(id, TRUTH, 5, LIE, 0);
        disputes.settleBond(id);
        greedy.withdraw();
        vm.assertEq(address(greedy).balance, BOND_WEI);
        vm.assertEq(bytes32(greedy.refusal()), bytes32(IDisputes.NothingOwed.selector));
        vm.assertEq(address(disputes).balance, BOND_WEI);
    }

    function test_WithdrawingNeedsSomethingAndSomewhere() public {
        vm.expectRevert(IDisputes.ZeroAddress.selector);
        disputes.withdraw(payable(address(0)));
        vm.expectPartialRevert(IDisputes.NothingOwed.selector);
        disputes.withdraw(payable(address(this)));
        dispute(asked, TRUTH, 5, LIE, 0);
        disputes.settleBond(id);
        vm.prank(CHALLENGER);
        vm.expectPartialRevert(IDisputes.TransferFailed.selector);
        disputes.withdraw(payable(address(coprocessor)));
        vm.assertEq(disputes.owedTo(CHALLENGER), BOND_WEI);
    }

    function test_ForcedEtherIsNobodysAndBreaksNothing() public {
        vm.deal(address(disputes), 1 ether);
        dispute(asked, TRUTH, 5, LIE, 0);
        disputes.settleBond(id);
        vm.prank(CHALLENGER);
        disputes.withdraw(payable(CHALLENGER));
        vm.assertEq(address(disputes).balance, 1 ether);
    }

    // ---- inside ----------------------------------------------------------------------------------------------------
}
