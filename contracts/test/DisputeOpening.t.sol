// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {Evidence} from "../src/libraries/Types.sol";
import {DisputedAnswer} from "./DisputedAnswer.sol";
import {vm} from "./Vm.sol";

/// @title Opening a dispute: who may, when, with what, and who can be drawn for it
contract DisputeOpeningTest is DisputedAnswer {
    // ---- opening ---------------------------------------------------------------------------------------------------

    function test_OpeningTakesTheBondAndFixesTheLot() public {
        vm.deal(CHALLENGER, BOND_WEI);
        vm.expectEmit(address(disputes));
        emit IDisputes.DisputeOpened(id, CHALLENGER, keccak256(LIE), false, uint64(vm.getBlockNumber() + 2));
        vm.prank(CHALLENGER);
        disputes.open{value: BOND_WEI}(asked, answerers());
        vm.assertEq(address(disputes).balance, BOND_WEI);
        requireOutcome(id, IDisputes.Outcome.OPEN);
        requirePhase(IDisputes.Phase.DRAWING);
        expectOpenRefused(STRANGER, BOND_WEI, IDisputes.AlreadyOpened.selector);
    }

    function test_TheBondIsExactlyTheBond() public {
        expectOpenRefused(CHALLENGER, BOND_WEI - 1, IDisputes.WrongBond.selector);
        expectOpenRefused(CHALLENGER, BOND_WEI + 1, IDisputes.WrongBond.selector);
        expectOpenRefused(CHALLENGER, 0, IDisputes.WrongBond.selector);
    }

    function test_OnlyAPendingAnswerWithinItsWindowIsDisputed() public {
        vm.warp(START + WINDOW);
        expectOpenRefused(CHALLENGER, BOND_WEI, IDisputes.WindowOver.selector);
        coprocessor.finalize(asked, LIE, answerers());
        expectOpenRefused(CHALLENGER, BOND_WEI, IDisputes.NotPending.selector);
        asked = ask(address(0xA11CE), INPUT, disputablePolicy(2, WINDOW), 0, 0);
        expectOpenRefused(CHALLENGER, BOND_WEI, IDisputes.NotPending.selector);
    }

    function test_OnlyUnderAPolicyThatSaysSo() public {
        asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, WINDOW), 0, 0);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
        expectOpenRefused(CHALLENGER, BOND_WEI, IDisputes.NotDisputable.selector);
        asked.policy = disputablePolicy(2, WINDOW); // is another request, which nobody made
        expectOpenRefused(CHALLENGER, BOND_WEI, IDisputes.NotPending.selector);
    }

    /// @dev Who signed is kept off the committee by name, so the names must be the true ones.
    function test_TheBeneficiariesMustBeThoseOfTheAnswer() public {
        vm.deal(CHALLENGER, BOND_WEI);
        vm.prank(CHALLENGER);
        vm.expectPartialRevert(IDisputes.BeneficiariesMismatch.selector);
        disputes.open{value: BOND_WEI}(asked, new address[](0));
    }

    function test_NobodyDisputesHisOwnAnswer() public {
        expectOpenRefused(operatorAt(0), BOND_WEI, IDisputes.OwnAnswer.selector);
        expectOpenRefused(vm.addr(keyOf(1)), BOND_WEI, IDisputes.OwnAnswer.selector);
        openAs(operatorAt(2), asked);
    }

    /// @dev A proof can name a signing key as whom it pays: its operator answered all the same.
    function test_AKeyAndItsOperatorAreOne() public {
        (address key, address[] memory paid) = (vm.addr(keyOf(4)), new address[](1));
        truth.learn(modelId, INPUT, TRUTH);
        asked = ask(address(0xA11CE), INPUT, bytes32(bytes7(0x01000900001c20)), 0, 0);
        paid[0] = key;
        coprocessor.deliver(asked, INPUT, TRUTH, asListOfOne(proofOf(asked, TRUTH, key)));
        vm.deal(operatorAt(4), BOND_WEI);
        vm.prank(operatorAt(4));
        vm.expectRevert(abi.encodeWithSelector(IDisputes.OwnAnswer.selector, key));
        disputes.open{value: BOND_WEI}(asked, paid);
        vm.deal(CHALLENGER, BOND_WEI);
        vm.prank(CHALLENGER);
        disputes.open{value: BOND_WEI}(asked, paid);
        vm.assertEq(isAmong(operatorAt(4), draw(idOf(asked))), false);
    }

    /// @dev An operator's own account is another's signing key as well: it stays the operator of its key.
    function test_AnOperatorWhoIsAnothersKeyIsOneWithItsOwnKey() public {
        (uint256 accountKey, uint256 signingKey) = (uint256(keccak256("account")), uint256(keccak256("its key")));
        (address account, address key) = (vm.addr(accountKey), vm.addr(signingKey));
        stake(account, 99, key, signDigest(signingKey, operators.computePossessionDigest(account, key)));
        bytes memory possession = signDigest(accountKey, operators.computePossessionDigest(operatorAt(7), account));
        vm.prank(operatorAt(7));
        operators.rotateSigner(account, possession);
        address[] memory paid = new address[](1);
        paid[0] = account;
        truth.learn(modelId, INPUT, TRUTH);
        asked = ask(address(0xA11CE), INPUT, bytes32(bytes7(0x01000900001c20)), 0, 0);
        coprocessor.deliver(asked, INPUT, TRUTH, asListOfOne(proofOf(asked, TRUTH, account)));
        vm.deal(key, BOND_WEI);
        vm.prank(key);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.OwnAnswer.selector, account));
        disputes.open{value: BOND_WEI}(asked, paid);
    }

    function test_TooFewOthersIsNoCommittee() public {
        for (uint256 i = 2; i < 6; ++i) {
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
        vm.deal(CHALLENGER, BOND_WEI);
        vm.prank(CHALLENGER);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.CommitteeTooSmall.selector, 3, 2));
        disputes.open{value: BOND_WEI}(asked, answerers());
    }

    function test_OfFewOthersTheLargestOddNumberIsDrawn() public {
        for (uint256 i = 2; i < 4; ++i) {
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
        openAs(CHALLENGER, asked); // four are left
        vm.assertEq(draw(id).length, 3);
    }

    function test_ThreeOthersAreACommittee() public {
        for (uint256 i = 2; i < 5; ++i) {
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
        openAs(CHALLENGER, asked);
        vm.assertEq(draw(id).length, 3);
    }

    function test_OfManyOthersNoMoreAreDrawnThanTheTermsSay() public {
        asked = ask(address(0xA11CE), INPUT, disputablePolicy(1, WINDOW), 0, 0);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 1));
        address[] memory paid = new address[](1);
        paid[0] = operatorAt(0);
        vm.deal(CHALLENGER, BOND_WEI);
        vm.prank(CHALLENGER);
        disputes.open{value: BOND_WEI}(asked, paid); // seven are left
        vm.assertEq(draw(idOf(asked)).length, 5);
    }

    // ---- inside ----------------------------------------------------------------------------------------------------

    function expectOpenRefused(address who, uint256 wei_, bytes4 reason) private {
        vm.deal(who, wei_);
        vm.prank(who);
        vm.expectPartialRevert(reason);
        disputes.open{value: wei_}(asked, answerers());
    }

    function requirePhase(IDisputes.Phase phase) private view {
        vm.assertEq(uint256(disputes.infoOf(id).phase), uint256(phase), "phase");
    }

    function asListOfOne(Evidence memory evidence) private pure returns (Evidence[] memory list) {
        list = new Evidence[](1);
        list[0] = evidence;
    }
}
